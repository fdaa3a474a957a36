// The microphone: one channel, as it is, without what makes speech clearer and sounds disappear.

const CONSTRAINTS = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

export class MicrophoneError extends Error {}

const REASONS = {
  NotAllowedError: "The microphone was refused. Allow it for this page in the settings of the browser, then press Listen.",
  NotFoundError: "No microphone was found. Connect one, then press Listen.",
  NotReadableError: "The microphone is in use by another program. Close that, then press Listen.",
};

export class Microphone {
  // `onBlock` gets Float32Array of samples, `onEnd` is called when the device goes away.
  static async open(onBlock, onEnd) {
    if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
      throw new MicrophoneError(
        "Browsers give the microphone to safe addresses only: to https, or to 127.0.0.1 on this machine itself.",
      );
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: CONSTRAINTS });
    } catch (error) {
      throw new MicrophoneError(REASONS[error.name] ?? `The microphone cannot be used (${error.message}).`);
    }
    const context = new AudioContext();
    try {
      await context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
      await context.resume();
    } catch (error) {
      stream.getTracks().forEach((track) => track.stop());
      await context.close();
      throw new MicrophoneError(`Sound cannot be processed by this browser (${error.message}).`);
    }
    const source = context.createMediaStreamSource(stream);
    const capture = new AudioWorkletNode(context, "capture", {
      numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit",
    });
    capture.port.onmessage = ({ data }) => onBlock(data);
    const analyser = context.createAnalyser();
    analyser.fftSize = 2048;
    analyser.smoothingTimeConstant = 0;
    source.connect(capture);
    source.connect(analyser);
    stream.getAudioTracks()[0].onended = onEnd;
    return new Microphone(stream, context, analyser);
  }

  constructor(stream, context, analyser) {
    this.stream = stream;
    this.context = context;
    this.analyser = analyser;
  }

  get sr() {
    return this.context.sampleRate;
  }

  close() {
    this.stream.getTracks().forEach((track) => {
      track.onended = null;
      track.stop();
    });
    this.context.close();
  }
}
