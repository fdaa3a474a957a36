// A take: what is wrong with it, and how it is sent.

const SHORTEST_S = 0.3;
const SOFT = 0.003; // the root mean square of its loudest tenth of a second: -50 dB re full scale
const FULL = 0.999;
const MANY = 5; // samples at full scale: fewer may be chance

// Why a take would teach little, or null. `blocks` are Float32Array of a tenth of a second.
export function findProblem(blocks, sr) {
  const length = blocks.reduce((sum, block) => sum + block.length, 0);
  if (length < SHORTEST_S * sr) return "This take is too short.";
  let atFull = 0;
  let loudest = 0;
  for (const block of blocks) {
    let power = 0;
    for (const value of block) {
      power += value * value;
      if (Math.abs(value) >= FULL) atFull += 1;
    }
    loudest = Math.max(loudest, Math.sqrt(power / block.length));
  }
  if (atFull >= MANY) return "This take is too loud, so its peaks are cut off. Move the microphone away.";
  if (loudest < SOFT) return "This take is too soft. Move the microphone nearer.";
  return null;
}

// A WAV file of 32-bit floats with one channel.
export function encodeWav(blocks, sr) {
  const nBytes = 4 * blocks.reduce((sum, block) => sum + block.length, 0);
  const head = new DataView(new ArrayBuffer(44));
  const write = (at, text) => [...text].forEach((character, i) => head.setUint8(at + i, character.charCodeAt(0)));
  write(0, "RIFF");
  head.setUint32(4, 36 + nBytes, true);
  write(8, "WAVEfmt ");
  head.setUint32(16, 16, true); // bytes of the format
  head.setUint16(20, 3, true); // floats
  head.setUint16(22, 1, true); // channels
  head.setUint32(24, sr, true);
  head.setUint32(28, 4 * sr, true); // bytes per second
  head.setUint16(32, 4, true); // bytes per frame
  head.setUint16(34, 32, true); // bits per sample
  write(36, "data");
  head.setUint32(40, nBytes, true);
  return new Blob([head, ...blocks], { type: "audio/wav" });
}
