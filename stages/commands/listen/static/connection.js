// A WebSocket to the program that comes back by itself.

const WAITS_S = [0.5, 1, 2, 4, 5];
const MAX_WAITING_S = 10; // seconds of samples that may wait to be sent
const LOST = "The connection is lost, trying again";

export class Connection {
  // `onMessage` gets messages with the time at which their stream began, `onState` ("on" | "wait" | "off", text).
  constructor(sr, onMessage, onState) {
    this.sr = sr;
    this.onMessage = onMessage;
    this.onState = onState;
    this.tries = 0;
    this.ending = false;
    this.connect();
  }

  connect() {
    const address = new URL(`api/live?sr=${Math.round(this.sr)}&format=f32le`, document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    address.hash = "";
    const socket = new WebSocket(address);
    this.socket = socket;
    this.startedAt = null;
    socket.onopen = () => this.onState("on", "Listening");
    socket.onmessage = ({ data }) => {
      this.tries = 0;
      this.onMessage(JSON.parse(data), this.startedAt);
    };
    socket.onclose = ({ code, reason }) => this.closed(code, reason);
  }

  closed(code, reason) {
    if (this.ending) return;
    const wait = WAITS_S[Math.min(this.tries, WAITS_S.length - 1)];
    this.tries += 1;
    this.onState("wait", reason ? `${reason}; trying again` : LOST);
    this.timer = setTimeout(() => this.connect(), 1000 * (code === 1013 ? 5 : wait));
    if (code === 1006) this.checkToken();
  }

  // A browser does not tell a page why a WebSocket was refused; a request of another kind does.
  async checkToken() {
    const answer = await fetch("healthz").catch(() => null);
    if (answer?.status === 401 && !this.ending) {
      clearTimeout(this.timer);
      this.onState("off", "This address is no longer valid: open the one that the program printed.");
    }
  }

  // Returns when the stream began that `samples` went to, null where they went nowhere.
  send(samples) {
    if (this.socket.readyState !== WebSocket.OPEN) return null;
    if (this.socket.bufferedAmount > MAX_WAITING_S * this.sr * 4) {
      this.socket.close(4000, "samples cannot be sent as fast as they come");
      return null;
    }
    this.startedAt ??= Date.now() - (1000 * samples.length) / this.sr;
    this.socket.send(samples);
    return this.startedAt;
  }

  // Leaves the stream for a new one.
  renew(why) {
    clearTimeout(this.timer);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.onState("wait", why);
    this.connect();
  }

  // Ends the stream; its last messages still come.
  end() {
    this.ending = true;
    clearTimeout(this.timer);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send("end");
    else this.socket.close();
  }
}
