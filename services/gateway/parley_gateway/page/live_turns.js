/** The turns this page follows over the socket: starts, stops and resumes them, and routes frames to them. */

import { goToLogin } from "./api.js";
import { forgetTurn, keepTurn, keptTurns } from "./running_turns.js";
import { Turn } from "./turns.js";

const RETRY_MS = 1_000;

/** Events: `started`, `changed`, `ended` (with the turn as `detail`), `refused` (an error without a turn). */
export class LiveTurns extends EventTarget {
  #turns = new Map();
  #asked = new Map();

  constructor(socket) {
    super();
    this.socket = socket;
    socket.addEventListener("open", () => this.#catchUp());
    socket.addEventListener("frame", (event) => this.#receive(event.detail));
  }

  get running() {
    return [...this.#turns.values()].filter((turn) => turn.isRunning);
  }

  /** Returns the running turns of a conversation; null is one that has no id yet. */
  of(conversationId) {
    return this.running.filter((turn) => turn.conversationId === conversationId);
  }

  /** Returns the turns of a conversation that this page has followed, ended ones too. */
  known(conversationId) {
    return [...this.#turns.values()].filter((turn) => turn.conversationId === conversationId);
  }

  get(turnId) {
    return this.#turns.get(turnId) ?? null;
  }

  /** Asks something; `request` holds the optional fields of `start_turn`. */
  start(question, conversationId, request) {
    const turn = this.#follow(
      new Turn({ turnId: newTurnId(), conversationId, question, request, startedAtMs: Date.now() }),
    );
    keepTurn(turn);
    this.#sendStart(turn);
    this.#emit("started", turn);
    return turn;
  }

  /** Follows the turns that an earlier page left running. */
  restore() {
    for (const kept of keptTurns()) {
      const turn = this.#follow(
        new Turn({
          turnId: kept.turn_id,
          conversationId: kept.conversation_id,
          question: kept.question,
          request: kept.request,
          isAccepted: kept.is_accepted,
          startedAtMs: kept.started_at_ms,
        }),
      );
      turn.wasSent = true;
    }
  }

  /** Follows a turn that memory knows only the question of: it may still be running. */
  adopt(turnId, conversationId, question) {
    const turn = this.#follow(
      new Turn({ turnId, conversationId, question, isAccepted: true, startedAtMs: Date.now() }),
    );
    turn.wasSent = true;
    this.#sendResume(turn);
    return turn;
  }

  /** Lets a turn go that is known to have ended. */
  settle(turnId) {
    this.#turns.delete(turnId);
    forgetTurn(turnId);
  }

  /** Stops a turn; one that is not accepted yet is stopped as soon as it is. */
  stop(turn) {
    if (!turn.isRunning) return;
    turn.isStopping = true;
    if (turn.isAccepted) this.#send(turn, "cancel", { type: "cancel_turn", turn_id: turn.turnId });
    turn.changed();
  }

  #follow(turn) {
    this.#turns.set(turn.turnId, turn);
    turn.addEventListener("change", () => this.#emit("changed", turn));
    return turn;
  }

  /** After (re)connecting: whatever may have reached the gateway is resumed, the rest is started. */
  #catchUp() {
    for (const turn of this.running) {
      if (turn.wasSent) this.#sendResume(turn);
      else this.#sendStart(turn);
    }
  }

  #sendStart(turn) {
    const frame = { type: "start_turn", turn_id: turn.turnId, text: turn.question, ...turn.request };
    if (turn.conversationId !== null) frame.conversation_id = turn.conversationId;
    turn.wasSent = this.#send(turn, "start", frame);
  }

  #sendResume(turn) {
    this.#send(turn, "resume", { type: "resume_turn", turn_id: turn.turnId, after_seq: turn.lastSeq });
    if (turn.isStopping) this.stop(turn);
  }

  #send(turn, what, frame) {
    const isSent = this.socket.send(frame);
    if (isSent) this.#asked.set(turn.turnId, what);
    return isSent;
  }

  #receive(frame) {
    const turn = this.#turns.get(frame.turn_id);
    if (frame.type === "error") this.#refused(turn, frame);
    else if (turn?.isRunning) this.#advance(turn, frame);
  }

  #advance(turn, frame) {
    const conversationBefore = turn.conversationId;
    const wasAccepted = turn.isAccepted;
    turn.apply(frame);
    if (turn.hasGap) {
      turn.rewind();
      this.socket.restart();
    }
    if (!turn.isRunning) {
      forgetTurn(turn.turnId);
      this.#asked.delete(turn.turnId);
      this.#emit("ended", turn);
    } else if (!wasAccepted || turn.conversationId !== conversationBefore) {
      keepTurn(turn);
      if (turn.isStopping) this.stop(turn);
    }
  }

  #refused(turn, error) {
    if (error.code === "unauthenticated") return goToLogin();
    if (!turn?.isRunning) return this.#emit("refused", error);
    const asked = this.#asked.get(turn.turnId);
    if (asked === "cancel") return this.#cancelRefused(turn, error);
    const isUnknown = error.code === "not_found" || error.code === "unavailable";
    if (asked === "resume" && isUnknown && !turn.isAccepted && turn.request !== null) {
      return this.#sendStart(turn);
    }
    if (asked === "resume" && error.retryable) {
      return setTimeout(() => turn.isRunning && this.#sendResume(turn), RETRY_MS * (1 + Math.random()));
    }
    const message = asked === "resume" ? "This answer is no longer kept on the server." : error.message;
    turn.fail(error.code, message, error.retryable || asked === "resume");
    forgetTurn(turn.turnId);
    return this.#emit("ended", turn);
  }

  #cancelRefused(turn, error) {
    this.#asked.set(turn.turnId, "resume");
    turn.isStopping = false;
    turn.changed();
    this.#emit("refused", { ...error, message: `The answer could not be stopped: ${error.message}` });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Returns a UUID of version 7, which tells when it was made: the gateway need not take it for a repeat. */
function newTurnId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  for (let at = 5, ms = Date.now(); at >= 0; at -= 1, ms = Math.floor(ms / 256)) bytes[at] = ms % 256;
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
