// A take: what is wrong with it, how it looks, and how it is sent.

export const LONGEST_S = 30; // of a sound
export const ROOM = "other"; // the class of everything else
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

// Samples in pieces of `length`, of which the last may be shorter.
export function split(samples, length) {
  const pieces = [];
  for (let at = 0; at < samples.length; at += length) pieces.push(samples.subarray(at, at + length));
  return pieces;
}

// Draws all of a take, its peaks in each column of the picture.
export function drawWave(canvas, blocks) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const pitch = width / Math.max(50, blocks.length);
  context.clearRect(0, 0, width, height);
  context.fillStyle = getComputedStyle(canvas).color;
  blocks.forEach((block, i) => {
    const peak = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const half = Math.max(1, (peak * height) / 2);
    context.fillRect(Math.floor(i * pitch), height / 2 - half, Math.max(1, pitch - 1), 2 * half);
  });
}

// Sends a recording to be kept as a take of the sound `name`. Gives the take, or the problem in words.
export async function keepTake(name, file) {
  const address = `api/takes?name=${encodeURIComponent(name)}`;
  const answer = await fetch(address, { method: "POST", body: file }).catch(() => null);
  if (!answer) return { problem: "The program does not answer." };
  const found = await answer.json().catch(() => null);
  return answer.ok ? { take: found } : { problem: found?.detail ?? `The answer is ${answer.status}.` };
}

// Why a take that was kept would teach little, or null, as `findProblem` says: of files that only the program decodes.
export async function findKeptProblem(address) {
  const file = await fetch(address).then((answer) => answer.arrayBuffer());
  const [lowest, highest] = [8000, 96000]; // rates that each browser has; others are resampled
  const sr = Math.min(highest, Math.max(lowest, new DataView(file).getUint32(24, true))); // of the header
  const decoded = await new OfflineAudioContext(1, 1, sr).decodeAudioData(file);
  return findProblem(split(decoded.getChannelData(0), Math.round(sr / 10)), sr);
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
