// Learning: started, followed and cancelled, and what came of it.

import { clock, element } from "./format.js";

const EACH_S = 1;
const STATES = {
  idle: "", running: "Learning", done: "Learnt. This page listens with the new model.", cancelled: "Cancelled.",
  failed: "Learning failed. The model of before goes on.",
};
const byId = (id) => document.getElementById(id);

export class Learning {
  // `onModel` is called when another model listens.
  constructor(onModel) {
    this.onModel = onModel;
    this.model = null;
    byId("learn").onclick = () => this.ask("POST", "api/learning");
    byId("learn-cancel").onclick = () => {
      byId("learn-state").textContent = "Cancelling";
      this.ask("DELETE", "api/learning");
    };
    byId("model-before").onclick = () => this.ask("POST", "api/model/previous");
    addEventListener("hashchange", () => location.hash === "#teach" && this.ask("GET", "api/learning"));
    this.ask("GET", "api/learning");
  }

  // Shows the answer, and asks again while something is learnt, also in other views: captions need the new model.
  async ask(method, address) {
    clearTimeout(this.timer);
    this.asked = (this.asked ?? 0) + 1;
    const { asked } = this;
    const buttons = ["learn", "learn-cancel", "model-before"].map(byId);
    if (method !== "GET") for (const button of buttons) button.disabled = true;
    const answer = await fetch(address, { method }).catch(() => null);
    const found = answer && (await answer.json().catch(() => null));
    if (asked !== this.asked) return; // a later request tells more
    for (const button of buttons) button.disabled = false;
    const running = answer?.ok ? this.show(found) : !byId("learn-cancel").hidden;
    byId("learn-problem").textContent = answer?.ok
      ? "" : answer ? (found?.detail ?? `The answer is ${answer.status}.`) : "The program does not answer.";
    byId("learn-problem").hidden = Boolean(answer?.ok);
    if (running) this.timer = setTimeout(() => this.ask("GET", "api/learning"), 1000 * EACH_S);
  }

  // Returns whether something is being learnt.
  show({ state, elapsed_s: elapsed, progress, result, log, model, previous }) {
    const running = state === "running";
    if (byId("learn-state").textContent !== STATES[state]) byId("learn-state").textContent = STATES[state];
    byId("learn").disabled = running;
    byId("learn-cancel").hidden = !running;
    byId("learn-time").textContent = state === "idle" ? "" : clock(Math.floor(elapsed)).replace(/\.0$/, "");
    byId("learn-progress").textContent = progress;
    byId("learn-result").replaceChildren(...result.map((text) => element("li", { text })));
    byId("learn-log").textContent = log.join("\n");
    byId("learn-log").hidden = !log.length;
    byId("learn-model").textContent = model ? `The model that listens is ${model}.` : "No model listens yet.";
    byId("model-before").hidden = !previous;
    byId("model-before").textContent = `Use the model before, ${previous}`;
    if (this.model !== null && this.model !== model) this.onModel();
    this.model = model;
    return running;
  }
}
