// Listening: from the microphone to captions, history and alerts.

import { Connection } from "./connection.js";
import { Microphone, MicrophoneError } from "./microphone.js";

const byId = (id) => document.getElementById(id);

export class Live {
  // `onSent` gets the samples that a stream gets, with the time at which it began and their rate; `onStream` is called
  // when a stream has begun.
  constructor({ preferences, caption, history, alerts, placing, waterfall, onSent, onStream }) {
    Object.assign(this, { preferences, caption, history, alerts, placing, waterfall, onSent, onStream });
    this.microphone = null;
    this.alerted = new Set(); // the events that alerted
    byId("listen").onclick = () => (this.microphone ? this.pause() : this.listen());
    document.addEventListener("visibilitychange", () => this.keepAwake());
  }

  async listen() {
    const button = byId("listen");
    button.disabled = true;
    this.caption.status("wait", "Waiting for the microphone");
    try {
      this.microphone = await Microphone.open(
        (samples) => this.send(samples),
        () => this.pause("The microphone went away. Connect it, then press Listen."),
      );
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      this.caption.status("off", error.message);
      return;
    } finally {
      button.disabled = false;
    }
    button.textContent = "Pause";
    this.caption.idle("Listening");
    this.waterfall.start(this.microphone.analyser);
    this.connection = new Connection(
      this.microphone.sr,
      (message, startedAt) => this.take(message, startedAt),
      (lamp, text) => this.state(lamp, text),
    );
    this.keepAwake();
  }

  send(samples) {
    const startedAt = this.connection?.send(samples) ?? null;
    if (startedAt !== null) this.onSent(startedAt, samples, this.connection.sr);
  }

  // A stream keeps the model that it began with: another one needs another stream.
  changeModel() {
    if (this.microphone) this.connection.renew("Changing to the other model");
  }

  pause(reason = null) {
    this.connection.end();
    this.microphone.close();
    this.microphone = null;
    this.waterfall.stop();
    this.lock?.release();
    this.placing.idle();
    byId("listen").textContent = "Listen";
    this.caption.status(reason ? "off" : "", reason ?? "Paused");
    this.caption.idle("Paused");
  }

  state(lamp, text) {
    this.caption.status(lamp, text);
    if (lamp !== "on") {
      this.history.settle();
      this.caption.idle("Not connected");
      this.placing.idle();
    } else {
      this.caption.idle("Listening");
      this.onStream();
    }
  }

  take(message, startedAt) {
    const at = (seconds) => new Date(startedAt + 1000 * seconds);
    if (message.type === "caption") {
      if (!this.microphone) return; // paused while it was on its way
      this.caption.update(message);
      this.placing.update(message, at(message.end_s));
      return;
    }
    const key = `${startedAt} ${message.id}`; // each stream counts its events from 1
    if (message.type === "withdrawn") { // another event tells what the sound is
      this.history.remove(key);
      if (this.alerted.has(key)) this.alerts.withdraw(message);
      return;
    }
    if (!this.preferences.isTold(message)) return;
    const begun = at(message.start_s);
    const alerted = !this.alerted.has(key) && this.alerts.consider(message, begun);
    if (alerted) this.alerted.add(key);
    this.history.put(key, message, begun, { startedAt, ongoing: message.type === "began", alerted });
  }

  // A phone that goes to sleep stops listening.
  async keepAwake() {
    if (this.microphone && document.visibilityState === "visible") {
      this.lock = await navigator.wakeLock?.request("screen").catch(() => null);
    }
  }
}
