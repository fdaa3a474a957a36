// Alerts for chosen sounds: on the page, by light, vibration and notification.

import { UNSURE, eventName, timeOfDay } from "./format.js";

const FLASH_S = 3;
const byId = (id) => document.getElementById(id);

export class Alerts {
  constructor(preferences) {
    this.preferences = preferences;
    this.last = new Map(); // when each class alerted
    byId("alert-dismiss").onclick = () => this.dismiss();
  }

  // Alerts where the event asks for it and the last alert of its class is long enough ago; returns whether it did.
  consider(event, at) {
    const { what, least, pause } = this.preferences.ofEvent(event);
    const name = eventName(event);
    if (what !== "alert" || event.confidence < least) return false;
    if (this.last.has(name) && at - this.last.get(name) < 1000 * pause) return false;
    this.last.set(name, at.getTime());
    this.raise(event.unsure ? UNSURE : name, at);
    return true;
  }

  // The event turned out to be another sound: the next one of its class is to alert, however soon it comes.
  withdraw(event) {
    this.last.delete(eventName(event));
  }

  raise(name, at) {
    byId("alert-text").textContent = name[0].toUpperCase() + name.slice(1);
    byId("alert-time").textContent = timeOfDay(at);
    byId("alert").hidden = false;
    const { flash, vibrate, notify } = this.preferences.values;
    if (flash) {
      clearTimeout(this.timer);
      byId("flash").hidden = true;
      void byId("flash").offsetWidth; // so that the animation begins anew
      byId("flash").hidden = false;
      this.timer = setTimeout(() => (byId("flash").hidden = true), 1000 * FLASH_S);
    }
    if (vibrate) navigator.vibrate?.([300, 150, 300, 150, 300]);
    if (notify) this.notify(name, at);
  }

  notify(name, at) {
    try {
      new Notification(name[0].toUpperCase() + name.slice(1), { body: timeOfDay(at), tag: `urban-ear ${name}` });
    } catch {
      // Some phones allow this to installed applications only; the page has said so when it was chosen.
    }
  }

  dismiss() {
    byId("alert").hidden = true;
    byId("flash").hidden = true;
  }
}

// Asks for the right to notify; returns why it cannot be had, or null.
export async function askToNotify() {
  if (!("Notification" in window)) return "This browser has no notifications.";
  if ((await Notification.requestPermission()) !== "granted") {
    return "Notifications were refused; allow them for this page in the settings of the browser.";
  }
  try {
    new Notification("urban-ear", { body: "Alerts will look like this.", tag: "urban-ear" });
  } catch {
    return "This browser sends notifications for installed applications only.";
  }
  return null;
}
