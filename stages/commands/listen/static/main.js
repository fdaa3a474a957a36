// The page: views, and what they share.

import { Alerts } from "./alerts.js";
import { Caption } from "./caption.js";
import { Corrections } from "./correct.js";
import { awaitFiles } from "./drop.js";
import { History } from "./history.js";
import { Learning } from "./learning.js";
import { Live } from "./live.js";
import { Placing } from "./placing.js";
import { Preferences } from "./preferences.js";
import { RecordingView } from "./recording.js";
import { Sounds } from "./sounds.js";
import { Teach } from "./teach.js";
import { Waterfall } from "./waterfall.js";

const RETRY_S = 3;
const byId = (id) => document.getElementById(id);

function openStorage() {
  try {
    return window.localStorage;
  } catch {
    return { getItem: () => null, setItem: () => {} }; // blocked by the browser's settings
  }
}

function showView() {
  const views = [...document.querySelectorAll("main > section")];
  const chosen = views.find(({ dataset }) => `#${dataset.view}` === location.hash) ?? views[0];
  for (const view of views) view.hidden = view !== chosen;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${chosen.dataset.view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  scrollTo(0, 0);
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

// Asks until there is a model, and says meanwhile why there is none.
async function awaitModel(onModel) {
  for (;;) {
    const answer = await fetch("api/model").catch(() => null);
    if (answer?.ok) {
      notice("");
      onModel(await answer.json());
      return;
    }
    const detail = answer && (await answer.json().catch(() => null))?.detail;
    notice(answer ? `No sounds can be recognised yet: ${detail ?? answer.status}` : "The program does not answer.");
    await new Promise((done) => setTimeout(done, 1000 * RETRY_S));
  }
}

const preferences = new Preferences(openStorage());
const alerts = new Alerts(preferences);
const sounds = new Sounds(preferences, alerts);
const placing = new Placing(preferences);
const teach = new Teach();
const corrections = new Corrections(() => teach.refresh());
let shown = null;
const showModel = (model) => {
  const text = JSON.stringify(model);
  if (text === shown) return; // what is being typed is not drawn anew
  shown = text;
  sounds.show(model);
  placing.show(model);
  corrections.show(model);
};
const recording = new RecordingView();
awaitFiles((files) => {
  if (location.hash === "#teach" && byId("teach")) {
    teach.addFiles(files);
  } else {
    location.hash = "recording";
    recording.load(files[0]);
  }
});
const live = new Live({
  preferences, alerts, placing, caption: new Caption(preferences), history: new History(corrections),
  waterfall: new Waterfall(byId("waterfall")), onSent: (...sent) => corrections.hear(...sent),
  onStream: () => awaitModel(showModel), // it may have another
});
teach.start().then((works) => {
  if (works) {
    corrections.start();
    new Learning(() => {
      awaitModel(showModel);
      live.changeModel();
    });
  } else {
    for (const id of ["teach", "correct"]) byId(id).remove(); // the program was given no folder for takes
  }
  byId("teach-link").hidden = !works;
  showView();
});
addEventListener("hashchange", showView);
showView();
awaitModel(showModel);
