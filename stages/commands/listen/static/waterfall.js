// A spectrogram that scrolls: it shows that the microphone hears something, with or without a connection.

import { LEVELS } from "./colours.js";

const COLUMN_S = 0.04;
const LOW_HZ = 60;
const HIGH_HZ = 12000;
const LOW_DB = -100;
const HIGH_DB = -25;

export class Waterfall {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.column = this.context.createImageData(2, canvas.height);
  }

  start(analyser) {
    this.stop();
    const { height } = this.canvas;
    const spectrum = new Float32Array(analyser.frequencyBinCount);
    const hz = analyser.context.sampleRate / analyser.fftSize;
    // The bins of each row: frequencies rise by the same factor from row to row.
    const edges = Array.from({ length: height + 1 }, (_, i) => (LOW_HZ * (HIGH_HZ / LOW_HZ) ** (i / height)) / hz);
    this.timer = setInterval(() => {
      analyser.getFloatFrequencyData(spectrum);
      for (let row = 0; row < height; row += 1) {
        let loudest = -Infinity;
        for (let bin = Math.floor(edges[row]); bin <= edges[row + 1] && bin < spectrum.length; bin += 1) {
          loudest = Math.max(loudest, spectrum[bin]);
        }
        const share = Math.min(1, Math.max(0, (loudest - LOW_DB) / (HIGH_DB - LOW_DB)));
        const colour = LEVELS[Math.round(255 * share)];
        for (let x = 0; x < 2; x += 1) {
          const at = 4 * (2 * (height - 1 - row) + x);
          this.column.data.set([...colour, 255], at);
        }
      }
      this.context.drawImage(this.canvas, -2, 0);
      this.context.putImageData(this.column, this.canvas.width - 2, 0);
    }, 1000 * COLUMN_S);
  }

  stop() {
    clearInterval(this.timer);
  }
}
