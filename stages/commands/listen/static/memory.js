// The last seconds of the microphone, in the memory of this page alone: what can still be corrected.

export class Memory {
  constructor(longestS) {
    this.longestS = longestS;
    this.blocks = []; // { stream, at: of its first sample in the stream, samples, sr }
    this.lengthS = 0;
    this.stream = null; // the one that goes on
    this.pushed = 0; // samples of it
  }

  // Takes samples, a Float32Array at `sr` Hz, that `stream` goes on with; drops what is too old by now.
  push(stream, samples, sr) {
    if (stream !== this.stream) this.pushed = 0;
    this.blocks.push({ stream, at: this.pushed, samples, sr });
    this.stream = stream;
    this.pushed += samples.length;
    this.lengthS += samples.length / sr;
    while (this.lengthS - this.blocks[0].samples.length / this.blocks[0].sr >= this.longestS) {
      const oldest = this.blocks.shift();
      this.lengthS -= oldest.samples.length / oldest.sr;
    }
  }

  forget() {
    this.blocks = [];
    this.lengthS = 0;
  }

  // From when to when `stream` is remembered, in its seconds: [start, end]; null where nothing of it is.
  span(stream) {
    const found = this.blocks.filter((block) => block.stream === stream);
    if (!found.length) return null;
    const { at, samples, sr } = found.at(-1);
    return [found[0].at / sr, (at + samples.length) / sr];
  }

  // What is remembered of `stream` from `startS` to `endS`, as a Float32Array, and its rate.
  cut(stream, startS, endS) {
    const found = this.blocks.filter((block) => block.stream === stream);
    const { sr } = found[0];
    const parts = found.map(({ at, samples }) => {
      const [from, to] = [startS, endS].map((seconds) => Math.max(0, Math.round(seconds * sr) - at));
      return samples.subarray(from, to);
    });
    const cut = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let filled = 0;
    for (const part of parts) {
      cut.set(part, filled);
      filled += part.length;
    }
    return { samples: cut, sr };
  }
}
