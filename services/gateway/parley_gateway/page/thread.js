/** The open conversation: its stored exchanges and its running turns, each turn shown once. */

import { AnswerView, questionNode } from "./answer.js";
import { button, element } from "./dom.js";
import { Turn } from "./turns.js";

const NEAR_END_PX = 80;
const ANNOUNCED_KEPT = 20;
const EARLIER = { class: "plain-button more", "data-testid": "earlier" };

export class Thread {
  #views = new Map();
  #isFollowing = true;

  constructor({ scroller, column, jump, announcer, isConnected, onRetry, onCite }) {
    Object.assign(this, { scroller, column, jump, announcer, isConnected, onRetry, onCite });
    scroller.addEventListener("scroll", () => this.#noticeScroll(), { passive: true });
    jump.addEventListener("click", () => this.follow());
    column.addEventListener("click", (event) => this.#clicked(event));
    new ResizeObserver(() => this.#settleScroll()).observe(scroller);
  }

  clear() {
    for (const view of this.#views.values()) view.dispose();
    this.#views.clear();
    this.announcer.replaceChildren();
    this.column.replaceChildren();
    this.follow();
  }

  /** Shows nodes in place of exchanges: an empty state, or why there is nothing. */
  showOnly(...nodes) {
    this.clear();
    this.column.append(...nodes);
    this.scroller.scrollTop = 0;
  }

  has(turnId) {
    return this.#views.has(turnId);
  }

  /** Offers to show what came before the first exchange; null takes the offer back. */
  offerEarlier(onClick) {
    this.column.querySelector("[data-testid=earlier]")?.remove();
    if (onClick) this.column.prepend(button("Show earlier messages", EARLIER, onClick));
  }

  /** Adds turns, oldest first, before those that are shown, and stays at what is being read. */
  addEarlier(turns) {
    const first = this.column.firstElementChild;
    const heightBefore = this.scroller.scrollHeight;
    for (const turn of turns) this.#place(turn, first);
    this.scroller.scrollTop += this.scroller.scrollHeight - heightBefore;
  }

  /** Adds a turn's question and answer at the end, unless they are there already. */
  add(turn) {
    this.#place(turn, null);
    this.#settleScroll();
  }

  #place(turn, before) {
    if (this.has(turn.turnId)) return;
    const view = new AnswerView(turn, {
      isConnected: this.isConnected,
      announce: (text) => this.#announce(text),
      onRetry: this.onRetry,
      onRender: () => this.#settleScroll(),
    });
    this.#views.set(turn.turnId, view);
    if (turn.question !== null) this.column.insertBefore(questionNode(turn.question), before);
    this.column.insertBefore(view.node, before);
  }

  /** Shows the answers' status again after the connection changed. */
  refresh() {
    for (const view of this.#views.values()) if (view.turn.isRunning) view.render();
  }

  /** Goes to the end and stays there while text arrives. */
  follow() {
    this.#isFollowing = true;
    this.#settleScroll();
  }

  #settleScroll() {
    if (this.#isFollowing) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.jump.hidden = this.#isFollowing || this.#distanceToEnd() <= NEAR_END_PX;
  }

  #noticeScroll() {
    this.#isFollowing = this.#distanceToEnd() <= NEAR_END_PX;
    this.jump.hidden = this.#isFollowing;
  }

  #distanceToEnd() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight;
  }

  #announce(text) {
    if (!text) return;
    this.announcer.append(element("p", {}, text));
    while (this.announcer.childElementCount > ANNOUNCED_KEPT) this.announcer.firstElementChild.remove();
  }

  #clicked(event) {
    const cite = event.target.closest("[data-cite]");
    const copy = event.target.closest("[data-copy]");
    if (cite) {
      const view = this.#views.get(cite.closest("[data-turn]").dataset.turn);
      const citation = view?.citation(Number(cite.dataset.cite));
      if (citation) this.onCite(citation, cite);
    } else if (copy) {
      copyCode(copy);
    }
  }
}

async function copyCode(control) {
  const code = control.closest(".code").querySelector("pre");
  try {
    await navigator.clipboard.writeText(code.textContent);
    control.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    control.textContent = "Selected";
  }
  setTimeout(() => (control.textContent = "Copy"), 1500);
}

/** Returns the turns of stored messages, oldest first; `answered` is false where the answer is missing. */
export function storedTurns(messages, conversationId) {
  const turns = new Map();
  for (const message of messages) {
    const turn = turns.get(message.turn_id) ?? newStoredTurn(message, conversationId);
    turns.set(message.turn_id, turn);
    if (message.role === "user") turn.question = message.text;
    else fillAnswer(turn, message);
  }
  return [...turns.values()].map((turn) => ({ turn, answered: turn.outcome !== null }));
}

/** Returns a stored turn whose answer is missing as one that has failed. */
export function withoutAnswer(turn) {
  turn.outcome = "failed";
  turn.error = { code: "not_found", message: "No answer is kept for this question.", isRetryable: true };
  return turn;
}

function newStoredTurn(message, conversationId) {
  return new Turn({
    turnId: message.turn_id,
    conversationId,
    question: null,
    isAccepted: true,
    startedAtMs: message.created_at_ms,
  });
}

function fillAnswer(turn, message) {
  turn.text = message.text;
  turn.outcome = message.outcome ?? "completed";
  turn.citations = message.citations ?? [];
  turn.cited = turn.citations;
  turn.support = message.support ?? null;
  turn.model = message.model;
}
