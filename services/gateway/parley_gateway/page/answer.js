/** One exchange on the page: the question, and the answer as it grows, ends, and names its sources. */

import { citationButtons, sourceList } from "./citations.js";
import { button, element } from "./dom.js";
import { StreamedMarkdown } from "./streamed_markdown.js";
import { degradedWords, durationWords, modelWords, stageWords, supportWords } from "./words.js";

/** Returns the node of a question. */
export function questionNode(text) {
  return element(
    "article",
    { class: "question", "data-testid": "question", "aria-label": "You asked" },
    element("p", {}, text),
  );
}

/** Shows a `Turn`, live or stored. `announce(text)` is called with each block when it is whole. */
export class AnswerView {
  #frame = null;
  #announced = 0;
  #ending = null;

  constructor(turn, { isConnected, announce, onRetry, onRender }) {
    this.turn = turn;
    this.isConnected = isConnected;
    this.announce = announce;
    this.onRetry = onRetry;
    this.onRender = onRender;
    this.wasRunning = turn.isRunning;
    this.body = element("div", { class: "prose" });
    this.status = element("p", { class: "answer-status", "data-testid": "status" });
    this.footer = element("footer", { class: "answer-foot" });
    this.node = element(
      "article",
      { class: "answer", "data-testid": "answer", "data-turn": turn.turnId, "aria-label": "Answer" },
      this.body,
      this.status,
      this.footer,
    );
    this.markdown = new StreamedMarkdown(this.body);
    this.onChange = () => this.#schedule();
    turn.addEventListener("change", this.onChange);
    this.render();
  }

  /** Returns the citation shown as `[n]`. */
  citation(n) {
    return this.#known().find((cited) => cited.n === n) ?? null;
  }

  dispose() {
    this.turn.removeEventListener("change", this.onChange);
    cancelAnimationFrame(this.#frame);
  }

  render() {
    const { turn } = this;
    const known = this.#known();
    this.markdown.update(turn.text, {
      isStreaming: turn.outcome !== "completed",
      citation: citationButtons(known),
      citationsKey: known.map((cited) => cited.n).join(),
    });
    this.node.setAttribute("aria-busy", String(turn.isRunning));
    this.node.dataset.outcome = turn.outcome ?? "running";
    this.status.textContent = turn.isRunning ? stageWords(turn, this.isConnected()) : "";
    this.status.hidden = !turn.isRunning;
    if (turn.outcome !== this.#ending) this.#end();
    if (this.wasRunning) this.#announceSettled();
  }

  #known() {
    return this.turn.citations.length ? this.turn.citations : this.turn.cited;
  }

  /** Deltas that arrive between two frames of the screen are shown together. */
  #schedule() {
    if (this.#frame !== null) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = null;
      this.render();
      this.onRender();
    });
  }

  #end() {
    const { turn } = this;
    this.#ending = turn.outcome;
    const notes = [this.#outcomeNote(), supportNote(turn), degradedNote(turn), sourceList(turn), timeNote(turn)];
    this.footer.replaceChildren(...notes.filter(Boolean));
  }

  #outcomeNote() {
    const { outcome, error, text } = this.turn;
    if (outcome === "cancelled") return element("p", { class: "note" }, "You stopped this answer.");
    if (outcome === "completed" && text.trim() === "") return element("p", { class: "note" }, "The answer is empty.");
    if (outcome !== "failed") return null;
    const note = element("div", { class: "note note-bad", "data-testid": "failure" });
    note.append(element("p", {}, error?.message ?? "This answer failed."));
    if (error === null || error.isRetryable) {
      note.append(button("Ask again", { class: "plain-button", "data-testid": "retry" }, () => this.onRetry(this.turn)));
    }
    return note;
  }

  /** Screen readers get whole blocks, not every few letters. */
  #announceSettled() {
    const settled = this.markdown.settledText(this.#announced, this.turn.isRunning);
    this.#announced += settled.length;
    for (const text of settled) this.announce(text);
    if (!this.turn.isRunning) this.wasRunning = false;
  }
}

function supportNote(turn) {
  const words = supportWords(turn.support);
  return words && element("p", { class: "note", "data-testid": "support" }, words);
}

function degradedNote(turn) {
  const words = degradedWords(turn.degraded);
  return words && element("p", { class: "note", "data-testid": "degraded" }, words);
}

function timeNote(turn) {
  const parts = [turn.model && modelWords(turn.model), turn.totalMs === null ? null : durationWords(turn.totalMs)].filter(Boolean);
  return parts.length ? element("p", { class: "answer-meta", "data-testid": "meta" }, parts.join(" · ")) : null;
}
