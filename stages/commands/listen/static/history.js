// What was heard, the newest first.

import { element, eventName, percent, timeOfDay } from "./format.js";

const MAX_ENTRIES = 1000;
const byId = (id) => document.getElementById(id);

export class History {
  constructor(corrections) {
    this.entries = new Map();
    this.corrections = corrections;
    byId("export").onclick = () => this.save();
    byId("clear").onclick = () => this.clear();
  }

  // `key` tells events apart, `startedAt` streams; an event that goes on is put again with what is known by then.
  put(key, event, at, { startedAt, ongoing, alerted }) {
    const known = this.entries.get(key);
    const item = known?.item ?? element(
      "li", {}, element("time"), element("span", { className: "name" }), element("span", { className: "seconds" }),
      element("div", { className: "correction" }),
    );
    const entry = { event, at, startedAt, item, ongoing, alerted: alerted || (known?.alerted ?? false) };
    this.entries.set(key, entry);
    item.className = `${event.unsure ? "unsure" : ""} ${entry.alerted ? "alerted" : ""}`.trim();
    const [time, name, seconds, correction] = item.children;
    const length = ongoing ? "now" : `${(event.end_s - event.start_s).toFixed(1)} s`;
    time.textContent = timeOfDay(at);
    name.textContent = eventName(event);
    seconds.textContent = `${length}, ${percent(event.confidence)}`;
    this.corrections.offer(correction, entry);
    if (!known) byId("history").prepend(item);
    if (this.entries.size > MAX_ENTRIES) this.remove(this.entries.keys().next().value);
    this.refresh();
  }

  remove(key) {
    this.entries.get(key)?.item.remove();
    this.entries.delete(key);
    this.refresh();
  }

  // The stream is over: nothing goes on.
  settle() {
    for (const [key, { event, at, startedAt, ongoing }] of this.entries) {
      if (ongoing) this.put(key, event, at, { startedAt, ongoing: false });
    }
  }

  clear() {
    this.entries.clear();
    this.corrections.forget();
    byId("history").replaceChildren();
    this.refresh();
  }

  refresh() {
    byId("history-empty").hidden = this.entries.size > 0;
    byId("export").disabled = byId("clear").disabled = this.entries.size === 0;
  }

  csv() {
    const rows = [...this.entries.values()].map(({ event, at }) => [
      at.toISOString(), (event.end_s - event.start_s).toFixed(3), event.class, event.confidence.toFixed(4), event.unsure,
    ]);
    const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
    return [["time", "duration_s", "class", "confidence", "unsure"], ...rows]
      .map((row) => `${row.map(cell).join(",")}\r\n`)
      .join("");
  }

  save() {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
    link.download = `urban-ear-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
