// The view of all that is considered, told or not, to place a microphone by.

import { element, percent, spoken, timeOfDay } from "./format.js";

const MAX_ENTRIES = 200;
const LOWEST_DB = -100;
const byId = (id) => document.getElementById(id);
const decibels = (level) => `${level.toFixed(0).replace("-", "−")} dB(A)`;

export class Placing {
  constructor(preferences) {
    this.preferences = preferences;
    this.rows = new Map();
    this.last = null;
  }

  // Takes the answer of api/model.
  show({ classes, thresholds }) {
    this.thresholds = thresholds;
    this.rows.clear();
    for (const name of classes) {
      const label = element("span", { text: spoken(name) });
      const bar = element("div");
      const mark = element("div", { className: "mark" });
      mark.style.left = percent(thresholds[name]).replace(" ", "");
      const value = element("span", { className: "value" });
      const item = element("li", {}, label, element("div", { className: "bar" }, bar, mark), value);
      this.rows.set(name, { item, label, bar, value });
    }
    byId("candidates").replaceChildren(...[...this.rows.values()].map(({ item }) => item));
  }

  // Takes a message of the type caption and the time of its end.
  update({ state, level_db: level, probabilities, active }, at) {
    byId("level").textContent = state === "silence" ? `${decibels(level)}, silence` : decibels(level);
    byId("level-bar").style.width = `${Math.max(0, 100 * (1 - level / LOWEST_DB))}%`;
    const told = new Set(active.filter((sound) => this.preferences.isTold(sound)).map((sound) => sound.class));
    for (const [name, { label, bar, value }] of this.rows) {
      label.className = told.has(name) ? "told" : "";
      bar.style.width = percent(probabilities[name]).replace(" ", "");
      value.textContent = percent(probabilities[name]);
    }
    const [name, probability] = Object.entries(probabilities).reduce((a, b) => (b[1] > a[1] ? b : a));
    if (!told.has(name)) this.note(name, probability, level, this.reason(name, probability, state), at);
  }

  reason(name, probability, state) {
    if (state === "silence") return "too soft";
    if (probability < this.thresholds[name]) return `below ${percent(this.thresholds[name])}`;
    const { what, least } = this.preferences.of(name);
    return what === "ignore" ? "ignored by your choice" : `below your ${percent(least)}`;
  }

  note(name, probability, level, reason, at) {
    const list = byId("untold");
    const key = `${name} ${reason}`;
    if (key === this.last) list.firstChild?.remove(); // it goes on: the newest of a row is enough
    this.last = key;
    list.prepend(
      element(
        "li", {}, element("time", { text: timeOfDay(at) }), element("span", { text: spoken(name), className: "name" }),
        element("span", { text: `${percent(probability)}, ${decibels(level)}: ${reason}` }),
      ),
    );
    while (list.childElementCount > MAX_ENTRIES) list.lastChild.remove();
    byId("untold-empty").hidden = true;
  }

  idle() {
    byId("level").textContent = "not listening";
    byId("level-bar").style.width = "0";
  }
}
