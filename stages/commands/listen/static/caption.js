// The current sound in large letters.

import { UNSURE, element, percent, spoken } from "./format.js";
import { UNSURE_KEY } from "./preferences.js";

const byId = (id) => document.getElementById(id);

export class Caption {
  constructor(preferences) {
    this.preferences = preferences;
    this.card = byId("caption");
  }

  status(lamp, text) {
    this.card.dataset.lamp = lamp;
    byId("status").textContent = text;
  }

  idle(text) {
    this.show("idle", text, 0, []);
  }

  // Takes a message of the type caption.
  update({ state, active, probabilities }) {
    const told = active.filter((sound) => this.preferences.isTold({ ...sound, unsure: false }));
    if (told.length) {
      this.show("sound", spoken(told[0].class), told[0].confidence, told.slice(1));
    } else if (state === "unsure" && this.preferences.of(UNSURE_KEY).what !== "ignore") {
      this.show("unsure", UNSURE, Math.max(...Object.values(probabilities)), []);
    } else if (state === "silence") {
      this.show("silence", "Silence", 0, []);
    } else {
      this.show("nothing", "Nothing that you asked for", 0, []);
    }
  }

  show(state, text, confidence, others) {
    this.card.dataset.state = state;
    byId("sound").textContent = text[0].toUpperCase() + text.slice(1);
    byId("bar").style.width = percent(confidence).replace(" ", "");
    byId("percent").textContent = confidence ? percent(confidence) : "";
    byId("others").replaceChildren(
      ...others.map((sound) => element("li", { text: `${spoken(sound.class)} ${percent(sound.confidence)}` })),
    );
    // Read out when another sound comes, not each time that its probability changes.
    const said = [text, ...others.map((sound) => spoken(sound.class))].join(", ");
    if (byId("spoken").textContent !== said) byId("spoken").textContent = said;
  }
}
