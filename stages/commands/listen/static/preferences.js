// What the user chose: per class what to do, from which confidence on, and how often to alert. Kept in this browser.

const KEY = "urban-ear";
const DEFAULTS = { flash: true, vibrate: true, notify: false, classes: {} };
export const UNSURE_KEY = "\u0000unsure"; // no class has this name

export class Preferences {
  constructor(storage) {
    this.storage = storage;
    this.values = structuredClone(DEFAULTS);
    try {
      const kept = JSON.parse(storage.getItem(KEY) ?? "{}");
      for (const name of ["flash", "vibrate", "notify"]) {
        if (typeof kept[name] === "boolean") this.values[name] = kept[name];
      }
      for (const [name, choice] of Object.entries(kept.classes ?? {})) this.values.classes[name] = { ...choice };
    } catch {
      // Blocked, or written by something else: begin with the defaults.
    }
  }

  // What to do with a class: { what: "show" | "alert" | "ignore", least: a share, pause: seconds }.
  of(name) {
    const { what, least, pause } = this.values.classes[name] ?? {};
    return {
      what: ["show", "alert", "ignore"].includes(what) ? what : "show",
      least: least >= 0 && least <= 1 ? least : 0,
      pause: pause >= 0 ? pause : 30,
    };
  }

  ofEvent(event) {
    return this.of(event.unsure ? UNSURE_KEY : event.class);
  }

  isTold(event) {
    const { what, least } = this.ofEvent(event);
    return what !== "ignore" && event.confidence >= least;
  }

  change(name, changes) {
    this.values.classes[name] = { ...this.of(name), ...changes };
    this.keep();
  }

  set(name, value) {
    this.values[name] = value;
    this.keep();
  }

  keep() {
    try {
      this.storage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // Without storage choices last as long as the page.
    }
  }
}
