// A recording: its events on a timeline over its spectrogram. A click plays from there.

import { LEVELS } from "./colours.js";
import { clock, element, eventName, percent } from "./format.js";

const TICK_PX = 64; // at least, from one time on the axis to the next
const STEPS_S = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600];
const byId = (id) => document.getElementById(id);

export class RecordingView {
  constructor() {
    this.player = byId("player");
    byId("file").onchange = ({ target }) => {
      if (target.files.length) this.load(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    };
    this.player.onerror = () => (byId("player-problem").hidden = false);
    this.player.ontimeupdate = () => this.moveHead();
    addEventListener("resize", () => {
      if (!this.canvas) return;
      this.drawAxis();
      this.moveHead();
    });
  }

  load(file) {
    this.request?.abort();
    const request = new XMLHttpRequest(); // which tells how much was sent, as fetch does not
    this.request = request;
    byId("recording-problem").hidden = true;
    byId("result").hidden = true;
    this.work(`Sending ${file.name}`, 0);
    request.upload.onprogress = ({ loaded, total }) => this.work(`Sending ${file.name}`, loaded / total);
    request.upload.onload = () => this.work(`Listening to ${file.name}`, null);
    request.onerror = () => this.fail("The program does not answer. Is it still running?");
    request.onload = () => {
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // Of a proxy in between.
      }
      if (request.status === 200) this.show(answer, file);
      else this.fail(answer?.detail ?? `The answer is ${request.status} ${request.statusText}.`);
    };
    request.open("POST", `api/events?file=${encodeURIComponent(file.name.slice(-255))}&spectrogram=true`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  }

  work(text, share) {
    byId("work").hidden = false;
    byId("progress-label").textContent = text;
    if (share === null) byId("progress").removeAttribute("value");
    else byId("progress").value = share;
  }

  fail(text) {
    byId("work").hidden = true;
    byId("recording-problem").textContent = text;
    byId("recording-problem").hidden = false;
  }

  show({ file: name, duration_s: duration, problem, events, spectrogram }, file) {
    byId("work").hidden = true;
    if (problem) this.fail(problem);
    byId("result-title").textContent = `${name} (${clock(duration)})`;
    if (this.player.src) URL.revokeObjectURL(this.player.src);
    byId("player-problem").hidden = true;
    this.player.src = URL.createObjectURL(file);
    this.duration = duration;
    byId("events").replaceChildren(...events.map((event) => this.item(event)));
    if (!events.length) byId("events").append(element("li", { text: "Nothing was heard.", className: "faint" }));
    byId("result").hidden = false;
    this.drawTimeline(duration, events, spectrogram); // once it is shown, since it looks at its width
    this.moveHead();
  }

  item(event) {
    const button = element(
      "button", {}, element("time", { text: `${clock(event.start_s)}–${clock(event.end_s)}` }),
      element("span", { text: eventName(event), className: event.unsure ? "name unsure" : "name" }),
      element("span", { text: percent(event.confidence) }),
    );
    button.type = "button";
    button.onclick = () => this.play(event.start_s);
    return element("li", {}, button);
  }

  drawTimeline(duration, events, spectrogram) {
    const timeline = byId("timeline");
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Spectrogram of the recording");
    drawSpectrogram(canvas, spectrogram);
    const rows = [element("span", { className: "label" }), canvas];
    const names = new Map(); // in the order of their first events, unsure ones last
    for (const event of [...events].sort((a, b) => a.unsure - b.unsure)) {
      const lane = eventName(event);
      if (!names.has(lane)) names.set(lane, []);
      names.get(lane).push(event);
    }
    for (const [lane, ofLane] of names) {
      const track = element("div", { className: ofLane[0].unsure ? "track unsure" : "track" });
      for (const { start_s: start, end_s: end } of ofLane) {
        const bar = element("div");
        bar.style.left = `${(100 * start) / duration}%`;
        bar.style.width = `${(100 * (end - start)) / duration}%`;
        track.append(bar);
      }
      rows.push(element("span", { text: lane, className: "label" }), track);
    }
    const axis = element("div", { className: "axis" });
    rows.push(element("span", { className: "label" }), axis);
    this.head = element("div", { className: "head" });
    timeline.replaceChildren(...rows, this.head);
    this.canvas = canvas;
    this.axis = axis;
    this.drawAxis();
    timeline.onclick = ({ clientX }) => {
      const { left, width } = canvas.getBoundingClientRect();
      const share = (clientX - left) / width;
      if (share >= 0 && share <= 1) this.play(share * duration);
    };
  }

  drawAxis() {
    const { axis, duration } = this;
    const most = Math.max(1, axis.clientWidth / TICK_PX);
    const step = STEPS_S.find((seconds) => duration / seconds <= most) ?? STEPS_S.at(-1);
    axis.replaceChildren();
    for (let at = 0; at < duration - step / 3; at += step) {
      const tick = element("span", { text: clock(at).replace(/\.0$/, "") });
      tick.style.left = `${(100 * at) / duration}%`;
      axis.append(tick);
    }
  }

  play(seconds) {
    this.player.currentTime = seconds;
    this.player.play().catch(() => (byId("player-problem").hidden = false));
  }

  moveHead() {
    if (!this.canvas) return;
    const share = Math.min(1, this.player.currentTime / this.duration);
    this.head.style.left = `${this.canvas.offsetLeft + share * this.canvas.offsetWidth}px`;
  }
}

function drawSpectrogram(canvas, { n_columns: nColumns, n_bands: nBands, values }) {
  const bytes = Uint8Array.from(atob(values), (character) => character.charCodeAt(0));
  canvas.width = nColumns;
  canvas.height = nBands;
  const context = canvas.getContext("2d");
  const image = context.createImageData(nColumns, nBands);
  for (let column = 0; column < nColumns; column += 1) {
    for (let band = 0; band < nBands; band += 1) {
      const at = 4 * ((nBands - 1 - band) * nColumns + column);
      image.data.set([...LEVELS[bytes[column * nBands + band]], 255], at);
    }
  }
  context.putImageData(image, 0, 0);
}
