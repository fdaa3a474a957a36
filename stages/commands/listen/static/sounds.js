// The view in which the user chooses sounds and ways of alerts.

import { askToNotify } from "./alerts.js";
import { UNSURE, element, spoken } from "./format.js";
import { UNSURE_KEY } from "./preferences.js";

const byId = (id) => document.getElementById(id);

export class Sounds {
  constructor(preferences, alerts) {
    this.preferences = preferences;
    for (const way of ["flash", "vibrate", "notify"]) {
      const box = byId(`way-${way}`);
      box.checked = preferences.values[way];
      box.onchange = () => this.changeWay(way, box);
    }
    byId("try-alert").onclick = () => alerts.raise("this is a trial", new Date());
  }

  async changeWay(way, box) {
    const problem = way === "notify" && box.checked ? await askToNotify() : null;
    if (problem) box.checked = false;
    byId("ways-problem").textContent = problem ?? "";
    byId("ways-problem").hidden = !problem;
    this.preferences.set(way, box.checked);
  }

  // Takes the answer of api/model.
  show({ name, dataset, classes, thresholds }) {
    byId("model").textContent = `The model ${name}, trained on ${dataset}, knows ${classes.length} sounds.`;
    byId("choices").replaceChildren(
      ...classes.map((label) => this.choice(label, spoken(label), thresholds[label])),
      this.choice(UNSURE_KEY, UNSURE, null),
    );
  }

  // `threshold` is the probability from which on the model tells the sound, null where it has none.
  choice(key, name, threshold) {
    const { what, least, pause } = this.preferences.of(key);
    const select = element("select");
    for (const [value, text] of [["show", "show"], ["alert", "alert"], ["ignore", "ignore"]]) {
      select.append(new Option(text, value, false, value === what));
    }
    select.dataset.class = key === UNSURE_KEY ? "" : key;
    const pauseInput = number(0, 86400, 1, pause);
    const pauseLabel = labelled("alert again after, s", pauseInput);
    const row = element(
      "fieldset", { className: "choice" }, element("legend", { text: name }), labelled("what to do", select),
    );
    if (threshold !== null) {
      const lowest = Math.ceil(100 * threshold - 0.01);
      const leastInput = number(lowest, 100, 1, Math.max(lowest, Math.round(100 * least)));
      leastInput.onchange = () => {
        leastInput.value = Math.min(100, Math.max(lowest, Number(leastInput.value) || lowest));
        this.preferences.change(key, { least: leastInput.value > lowest ? leastInput.value / 100 : 0 });
      };
      row.append(labelled("least confidence, %", leastInput));
    }
    row.append(pauseLabel);
    const refresh = () => (pauseLabel.hidden = select.value !== "alert");
    select.onchange = () => {
      this.preferences.change(key, { what: select.value });
      refresh();
    };
    pauseInput.onchange = () => {
      pauseInput.value = Math.max(0, Number(pauseInput.value) || 0);
      this.preferences.change(key, { pause: Number(pauseInput.value) });
    };
    refresh();
    return row;
  }
}

function number(min, max, step, value) {
  const input = element("input");
  Object.assign(input, { type: "number", min, max, step, value, inputMode: "numeric" });
  return input;
}

const labelled = (text, input) => element("label", { text }, input);
