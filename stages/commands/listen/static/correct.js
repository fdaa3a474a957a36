// Corrections of what was heard: its sound, as long as this page remembers it, becomes a take of what it was.

import { UNSURE, element, eventName, spoken, timeOfDay } from "./format.js";
import { Memory } from "./memory.js";
import { LONGEST_S, ROOM, drawWave, encodeWav, findProblem, keepTake, split } from "./take.js";

const REMEMBERED_S = 60;
const CONTEXT_S = 0.5; // kept before and after a sound: where events begin and end is not known more exactly
const EACH_MS = 1000; // after which it is looked anew which sounds are there
const N_COLUMNS = 100; // of the waveform
const NEW = "\u0000new"; // no class has this name
const GONE = "its sound is no longer there";
const byId = (id) => document.getElementById(id);
const alike = (name) => name.toLowerCase().replace(/[\s_-]/g, ""); // names that the program takes for one

export class Corrections {
  // Does nothing until `start`; `onKept` is called when there is another take.
  constructor(onKept) {
    this.onKept = onKept;
    this.memory = null;
    this.offers = new Map(); // the last line of each entry whose sound is there, and the entry
    this.classes = [];
  }

  // Remembers from now on, and offers to correct what is heard.
  start() {
    this.memory = new Memory(REMEMBERED_S);
    this.dialog = byId("correct");
    byId("correct-what").onchange = () => this.choose();
    byId("correct-form").onsubmit = (event) => {
      event.preventDefault();
      this.keep();
    };
    byId("correct-cancel").onclick = () => this.close();
    this.dialog.onkeydown = ({ key }) => {
      if (key === "Escape") this.close();
    };
    const { pattern, title } = byId("take-name");
    Object.assign(byId("correct-name"), { pattern, title });
    byId("remembered").hidden = false;
    setInterval(() => this.withdraw(), EACH_MS);
  }

  // Takes the answer of api/model.
  show({ classes }) {
    this.classes = classes;
  }

  // Takes samples at `sr` Hz that were sent to the stream that began at `startedAt`.
  hear(startedAt, samples, sr) {
    this.memory?.push(startedAt, samples, sr);
  }

  forget() {
    this.memory?.forget();
  }

  // Offers in `line`, the last one of an entry of the history, to correct the entry, of which more may be known by now.
  offer(line, entry) {
    if (!this.memory) return;
    if (!line.childElementCount) {
      const button = element("button", { text: "Correct…" });
      button.type = "button";
      button.onclick = () => this.open(line);
      line.append(button);
    } else if (!this.offers.has(line)) return; // it was corrected, or its sound is gone
    line.firstChild.setAttribute("aria-label", `Correct… ${eventName(entry.event)} at ${timeOfDay(entry.at)}`);
    this.offers.set(line, entry);
  }

  // From when to when a sound is kept, in seconds of its stream; null where its sound is not remembered any more.
  find({ startedAt, event, ongoing }) {
    const remembered = this.memory.span(startedAt);
    if (!remembered) return null;
    const endS = Math.min(remembered[1], ongoing ? Infinity : event.end_s + CONTEXT_S);
    const startS = Math.max(event.start_s - CONTEXT_S, endS - LONGEST_S);
    if (remembered[0] > Math.max(event.start_s, startS)) return null;
    return { startS: Math.max(startS, remembered[0]), endS };
  }

  withdraw() {
    for (const [line, entry] of this.offers) {
      if (!line.isConnected) this.offers.delete(line);
      else if (!this.find(entry)) this.settle(line, GONE);
    }
  }

  // Puts a text in the place of the button.
  settle(line, text) {
    this.offers.delete(line);
    const said = element("span", { text });
    const hadFocus = line.contains(document.activeElement);
    line.replaceChildren(said);
    if (hadFocus) this.focus(said);
  }

  focus(said) {
    said.tabIndex = -1; // which keeps the place of those who use the keyboard
    said.focus();
  }

  open(line) {
    const entry = this.offers.get(line);
    const found = this.find(entry);
    if (!found) {
      this.settle(line, GONE);
      return;
    }
    this.close();
    const { startedAt, event, at } = entry;
    const { samples, sr } = this.memory.cut(startedAt, found.startS, found.endS);
    const tenths = split(samples, Math.round(sr / 10));
    this.chosen = { line, file: encodeWav(tenths, sr) };
    const name = event.unsure ? UNSURE : spoken(event.class);
    byId("correct-heard").textContent = `At ${timeOfDay(at)}, told as ${name}.`;
    const length = `${(samples.length / sr).toFixed(1)} s`;
    byId("correct-span").textContent = found.startS > event.start_s
      ? `Its last ${length} would be kept.` : `${length} would be kept: the sound and a little of what is around it.`;
    this.problem(findProblem(tenths, sr));
    this.list();
    byId("correct-player").src = URL.createObjectURL(this.chosen.file);
    this.dialog.show();
    drawWave(byId("correct-wave"), split(samples, Math.ceil(samples.length / N_COLUMNS)));
    byId("correct-what").focus();
  }

  // The sounds of the folder, then those that the model knows and a take can have.
  list() {
    const kept = [...byId("take-names").options].map(({ value }) => value).filter((name) => name !== ROOM);
    const spellings = new Set([ROOM, ...kept].map(alike));
    const allowed = new RegExp(`^(?:${byId("correct-name").pattern})$`, "u");
    const known = this.classes.filter((name) => !spellings.has(alike(name)) && allowed.test(name));
    const options = (names) => names.map((name) => new Option(spoken(name), name));
    const group = (label, names) => {
      const made = element("optgroup", {}, ...options(names));
      made.label = label;
      return made;
    };
    byId("correct-what").replaceChildren(
      new Option("choose", ""), new Option("nothing, the room as it is", ROOM), new Option("a new sound", NEW),
      ...(kept.length ? [group("recorded", kept)] : []), ...(known.length ? [group("known to the model", known)] : []),
    );
    byId("correct-name").value = "";
    this.choose();
  }

  choose() {
    const isNew = byId("correct-what").value === NEW;
    byId("correct-new").hidden = !isNew;
    byId("correct-name").disabled = !isNew;
  }

  async keep() {
    const { line, file } = this.chosen;
    const what = byId("correct-what").value;
    const name = what === NEW ? byId("correct-name").value.trim() : what;
    byId("correct-keep").disabled = true;
    const { problem } = await keepTake(name, file);
    byId("correct-keep").disabled = false;
    if (!problem) {
      this.settle(line, `kept as ${spoken(name)}`);
      this.onKept();
    }
    if (this.chosen?.line !== line) return; // cancelled while it was on its way
    if (problem) this.problem(problem);
    else this.close();
  }

  problem(text) {
    byId("correct-problem").textContent = text ?? "";
    byId("correct-problem").hidden = !text;
  }

  close() {
    if (!this.chosen) return;
    URL.revokeObjectURL(byId("correct-player").src);
    byId("correct-player").removeAttribute("src");
    byId("correct-player").load();
    this.dialog.close();
    const back = this.chosen.line.firstChild;
    this.chosen = null;
    if (back instanceof HTMLButtonElement) back.focus();
    else if (back) this.focus(back);
  }
}
