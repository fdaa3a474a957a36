// Takes of sounds to learn: recorded, looked at, kept or thrown away.

import { element, spoken } from "./format.js";
import { Microphone, MicrophoneError } from "./microphone.js";
import { LONGEST_S, ROOM, drawWave, encodeWav, findKeptProblem, findProblem, keepTake } from "./take.js";

const COUNTDOWN_S = 3;
const ROOM_S = 60;
const ENOUGH = 5; // recordings of a sound, as the learn command counts
// From how many recordings on more of them are worth what: measured, see docs/your-sounds.md.
const WORTH = [
  [20, ""],
  [10, ": good. With 20, about 1 more of 100 is recognised"],
  [ENOUGH, ": a start. With 10, about 3 more of 100 are recognised, with 20 about 4"],
];
const byId = (id) => document.getElementById(id);
const seconds = (count) => new Promise((done) => setTimeout(done, 1000 * count));
const takeAddress = (name, file) => `api/takes/${encodeURIComponent(name)}/${file}`;

export class Teach {
  // Shows what was kept; resolves to whether the program keeps takes at all.
  async start() {
    if (!(await this.refresh())) return false;
    this.player = new Audio();
    byId("take-form").onsubmit = (event) => {
      event.preventDefault();
      if (this.stop) this.stop();
      else this.record(byId("take-name").value.trim(), LONGEST_S);
    };
    byId("record-room").onclick = () => this.record(ROOM, ROOM_S);
    byId("take-files").onchange = ({ target }) => {
      const files = [...target.files];
      target.value = ""; // so that the same files can be chosen again
      if (files.length) this.addFiles(files);
    };
    byId("keep").onclick = () => this.keep();
    byId("discard").onclick = () => this.discard("Thrown away.");
    return true;
  }

  async record(name, maxS) {
    byId("added").replaceChildren();
    this.discard("Waiting for the microphone");
    const blocks = [];
    let stop;
    const stopped = new Promise((done) => (stop = done));
    let recording = false;
    let microphone;
    this.busy(true);
    try {
      microphone = await Microphone.open((block) => recording && this.take(blocks, block), stop);
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      byId("take-state").textContent = error.message;
      this.busy(false);
      return;
    }
    for (let left = COUNTDOWN_S; left > 0; left -= 1) {
      byId("take-state").textContent = `${spoken(name)} in ${left}`;
      await seconds(1);
    }
    recording = true;
    this.stop = stop;
    byId("take-state").textContent = `Recording ${spoken(name)}`;
    byId("record").textContent = "Stop";
    byId("record").disabled = false;
    byId("wave").hidden = false;
    await Promise.race([stopped, seconds(maxS)]);
    recording = false;
    this.stop = null;
    const { sr } = microphone;
    microphone.close();
    byId("record").textContent = "Record";
    this.busy(false);
    this.look(name, blocks, sr);
  }

  busy(on) {
    for (const id of ["record", "record-room", "take-name", "take-files"]) byId(id).disabled = on;
  }

  // Each file becomes a take of the sound that is named; says of which it did not, and of which it should not have.
  async addFiles(files) {
    const name = byId("take-name").value.trim();
    if (byId("take-files").disabled) {
      this.tell("Other recordings are being made or added. When that is done, drop these again.");
      return;
    }
    if (!byId("take-form").reportValidity()) {
      this.tell("Name the sound, then add its recordings.");
      return;
    }
    byId("added").replaceChildren();
    this.busy(true);
    let kept = 0;
    for (const [i, file] of files.entries()) {
      byId("take-state").textContent = `Adding ${i + 1} of ${files.length} to ${spoken(name)}`;
      if (await this.addFile(name, file)) kept += 1;
    }
    this.busy(false);
    byId("take-state").textContent = files.length === 1 && kept ? "Kept." : `${kept} of ${files.length} kept.`;
    await this.refresh();
  }

  // Returns whether it was kept.
  async addFile(name, file) {
    const isReadable = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
    const { take, problem } = isReadable ? await keepTake(name, file) : { problem: "It is no file, or cannot be read." };
    if (problem) {
      this.tell(`${file.name}: ${problem}`);
      return false;
    }
    const address = takeAddress(name, take.file);
    const doubt = await findKeptProblem(address).catch(() => null); // what cannot be looked at is kept as it is
    if (doubt) {
      const remove = element("button", { text: "Delete it" });
      remove.type = "button";
      remove.setAttribute("aria-label", `Delete it: ${file.name}`);
      remove.onclick = async () => {
        await fetch(address, { method: "DELETE" }).catch(() => null);
        remove.parentElement.remove();
        await this.refresh();
      };
      this.tell(`${file.name}: kept. ${doubt} `, remove);
    }
    return true;
  }

  tell(text, ...buttons) {
    byId("added").append(element("li", { text }, ...buttons));
  }

  take(blocks, block) {
    blocks.push(block);
    drawWave(byId("wave"), blocks);
  }

  look(name, blocks, sr) {
    const problem = findProblem(blocks, sr);
    this.taken = { name, file: encodeWav(blocks, sr) };
    byId("take-state").textContent = `${spoken(name)}: keep this take?`;
    byId("take-problem").textContent = problem ?? "";
    byId("take-problem").hidden = !problem;
    byId("take-player").src = URL.createObjectURL(this.taken.file);
    byId("take-verdict").hidden = false;
  }

  async keep() {
    // A name that was refused can be changed, and the take is not lost.
    const name = this.taken.name === ROOM ? ROOM : byId("take-name").value.trim();
    byId("keep").disabled = true;
    const { problem } = await keepTake(name, this.taken.file);
    byId("keep").disabled = false;
    if (!problem) {
      this.discard("Kept.");
      await this.refresh();
      return;
    }
    byId("take-problem").textContent = problem;
    byId("take-problem").hidden = false;
  }

  discard(text) {
    if (this.taken) URL.revokeObjectURL(byId("take-player").src);
    this.taken = null;
    byId("take-verdict").hidden = byId("wave").hidden = true;
    byId("take-state").textContent = text;
  }

  async refresh() {
    const answer = await fetch("api/takes").catch(() => null);
    if (!answer?.ok) return false;
    const sounds = await answer.json();
    byId("takes-empty").hidden = sounds.length > 0;
    byId("takes").replaceChildren(...sounds.map((sound) => this.sound(sound)));
    byId("take-names").replaceChildren(...sounds.map(({ name }) => new Option(name, name)));
    return true;
  }

  sound({ name, takes, n_others: nOthers }) {
    const count = takes.length + nOthers;
    const worth = WORTH.find(([least]) => count >= least)?.[1] ?? `, ${ENOUGH - count} more to go`;
    return element(
      "li", {}, element("span", { text: spoken(name), className: "name" }),
      element("span", { text: ` ${count} ${count === 1 ? "recording" : "recordings"}${worth}`, className: "faint" }),
      element("ol", {}, ...takes.map((take, i) => this.item(name, take, i + 1))),
    );
  }

  item(name, { file, duration_s: duration }, number) {
    const address = takeAddress(name, file);
    const play = element("button", { text: `▶ ${duration.toFixed(1)} s` });
    play.type = "button";
    play.setAttribute("aria-label", `Play take ${number} of ${spoken(name)}, ${duration.toFixed(1)} s`);
    play.onclick = () => {
      this.player.src = address;
      this.player.play();
    };
    const remove = element("button", { text: "✕" });
    remove.type = "button";
    remove.setAttribute("aria-label", `Delete take ${number} of ${spoken(name)}`);
    remove.onclick = async () => {
      if (!confirm(`Delete take ${number} of ${spoken(name)}?`)) return;
      await fetch(address, { method: "DELETE" }).catch(() => null);
      await this.refresh();
    };
    return element("li", {}, play, remove);
  }
}
