/** One WebSocket to the gateway that comes back by itself: back-off with jitter, and a ping that finds dead links. */

const MIN_DELAY_MS = 200;
const MAX_DELAY_MS = 5_000;
const PING_EVERY_MS = 25_000;
const PONG_WITHIN_MS = 5_000;
const OPEN_WITHIN_MS = 10_000;
const POLICY_VIOLATION = 1008;

/** Events: `open`, `closed`, `frame` (with `detail`), `doubt` (perhaps logged out: check the session). */
export class ChatSocket extends EventTarget {
  #socket = null;
  #isPaused = false;
  #attempts = 0;
  #retry = null;
  #ping = null;
  #deadline = null;

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connects now and stays connected; waking up or coming online does not wait for the back-off. */
  start() {
    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.#drop());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#hurry());
    this.#connect();
  }

  /** Sends a frame; false when there is no connection. */
  send(frame) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Begins with a new connection, on which only what is asked for anew arrives. */
  restart() {
    this.#drop();
  }

  /** Disconnects, and stays so until it is resumed. */
  pause() {
    this.#isPaused = true;
    this.#drop();
  }

  resume() {
    this.#isPaused = false;
    this.#hurry();
  }

  #connect() {
    clearTimeout(this.#retry);
    if (this.#isPaused) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws`);
    this.#socket = socket;
    let hasOpened = false;
    this.#expect(OPEN_WITHIN_MS);
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      hasOpened = true;
      clearTimeout(this.#deadline);
      this.#ping = setInterval(() => this.#probe(), PING_EVERY_MS);
      this.dispatchEvent(new Event("open"));
    });
    socket.addEventListener("message", (event) => socket === this.#socket && this.#receive(event.data));
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#ended(!hasOpened || event.code === POLICY_VIOLATION);
    });
  }

  #receive(data) {
    clearTimeout(this.#deadline);
    this.#attempts = 0;
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (frame.type !== "pong") this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  #ended(isDoubtful) {
    this.#socket = null;
    clearInterval(this.#ping);
    clearTimeout(this.#deadline);
    this.dispatchEvent(new Event("closed"));
    if (isDoubtful) this.dispatchEvent(new Event("doubt"));
    const ceiling = Math.min(MAX_DELAY_MS, MIN_DELAY_MS * 2 ** ++this.#attempts);
    const delay = MIN_DELAY_MS + Math.random() * (ceiling - MIN_DELAY_MS);
    this.#retry = setTimeout(() => this.#connect(), delay);
  }

  /** A link that died silently never says `close`: without a word in time it is dropped. */
  #expect(withinMs) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#drop(), withinMs);
  }

  #probe() {
    if (this.send({ type: "ping" })) this.#expect(PONG_WITHIN_MS);
  }

  #hurry() {
    if (this.isOpen) this.#probe();
    else if (this.#socket === null) this.#connect();
  }

  #drop() {
    const socket = this.#socket;
    if (socket === null) return;
    this.#ended(false);
    socket.close();
  }
}
