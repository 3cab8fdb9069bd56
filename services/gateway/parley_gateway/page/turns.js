/** One turn as its events tell it. Lengths on the wire count Unicode code points; a JS string counts UTF-16 units. */

/** Returns the first `count` code points of `text`. */
export function firstCodePoints(text, count) {
  let units = 0;
  for (let seen = 0; seen < count && units < text.length; seen += 1) {
    units += text.codePointAt(units) > 0xffff ? 2 : 1;
  }
  return text.slice(0, units);
}

/** Returns how many code points `text` has. */
export function countCodePoints(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** Fires `change` whenever an event altered it. `outcome` is null while it runs. */
export class Turn extends EventTarget {
  lastSeq = 0;
  text = "";
  stage = null;
  place = null;
  citations = [];
  cited = [];
  support = null;
  degraded = [];
  outcome = null;
  error = null;
  model = null;
  totalMs = null;
  isStopping = false;
  wasSent = false;
  hasGap = false;
  hasRewound = false;

  constructor({ turnId, conversationId = null, question, request = null, isAccepted = false, startedAtMs }) {
    super();
    this.turnId = turnId;
    this.conversationId = conversationId;
    this.question = question;
    this.request = request;
    this.isAccepted = isAccepted;
    this.startedAtMs = startedAtMs;
  }

  get isRunning() {
    return this.outcome === null;
  }

  /** Takes a frame of this turn; repeats, frames after the end and what this page does not show change no more. */
  apply(frame) {
    if (!this.isRunning) return;
    if (frame.seq !== undefined && frame.type !== "sync") {
      if (frame.seq <= this.lastSeq) return;
      this.lastSeq = frame.seq;
      this.place = null;
      this.isAccepted = true;
    }
    HANDLERS[frame.type]?.(this, frame);
    this.changed();
  }

  /** Ends the turn without an event of its log: it was refused, or is no longer known. */
  fail(code, message, isRetryable) {
    if (!this.isRunning) return;
    this.outcome = "failed";
    this.error = { code, message, isRetryable };
    this.changed();
  }

  /** Forgets the text, to hear it all again; once, so that a broken log cannot make it go round for ever. */
  rewind() {
    this.hasRewound = true;
    this.lastSeq = 0;
    this.text = "";
    this.hasGap = false;
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function end(turn, outcome, frame) {
  turn.outcome = outcome;
  turn.conversationId = frame.conversation_id ?? turn.conversationId;
}

const HANDLERS = {
  turn_accepted(turn, frame) {
    turn.isAccepted = true;
    turn.conversationId = frame.conversation_id;
  },
  cancel_accepted(turn) {
    turn.isStopping = true;
  },
  queue_position(turn, frame) {
    if (turn.lastSeq <= frame.after_seq) turn.place = frame.position;
  },
  stage_changed(turn, frame) {
    turn.stage = frame.stage;
  },
  context_ready(turn, frame) {
    turn.citations = frame.citations ?? [];
    turn.degraded = frame.degraded ?? [];
  },
  text_delta(turn, frame) {
    turn.text += frame.text;
  },
  epoch_started(turn, frame) {
    turn.hasGap = !turn.hasRewound && frame.keep_chars > countCodePoints(turn.text);
    turn.text = firstCodePoints(turn.text, frame.keep_chars);
  },
  turn_completed(turn, frame) {
    end(turn, "completed", frame);
    turn.cited = frame.citations ?? [];
    turn.support = frame.support ?? null;
    turn.degraded = frame.degraded ?? turn.degraded;
    turn.model = frame.model;
    turn.totalMs = frame.timings?.total_ms ?? null;
  },
  turn_failed(turn, frame) {
    end(turn, "failed", frame);
    turn.error = { code: frame.code, message: frame.message, isRetryable: frame.retryable };
    if (frame.kept_chars != null) turn.text = firstCodePoints(turn.text, frame.kept_chars);
  },
  turn_cancelled(turn, frame) {
    end(turn, "cancelled", frame);
    turn.text = firstCodePoints(turn.text, frame.kept_chars);
  },
  sync(turn, frame) {
    end(turn, frame.outcome, frame);
    turn.text = frame.text;
    turn.citations = frame.citations ?? [];
    turn.cited = turn.citations;
    turn.support = frame.support ?? null;
    if (frame.outcome === "failed") turn.error = { code: "internal", message: "This answer failed.", isRetryable: true };
  },
};
