/** Composes the chat page: one socket, the open conversation, the list of conversations, the composer. */

import { logOut, readConversation } from "./api.js";
import { Composer } from "./composer.js";
import { ConversationList } from "./conversations.js";
import { element } from "./dom.js";
import { emptyState, SAMPLE_COLLECTION } from "./empty_state.js";
import { LiveTurns } from "./live_turns.js";
import { PassagePanel } from "./passage_panel.js";
import { Sidebar } from "./sidebar.js";
import { ChatSocket } from "./socket.js";
import { ModelPicker, SourcesPicker } from "./sources_picker.js";
import { storedTurns, withoutAnswer, Thread } from "./thread.js";
import { acceptDrops, Uploads } from "./uploads.js";

const NOTICE_MS = 8_000;
const CONNECTION_GRACE_MS = 800;
const ADOPT_WITHIN_MS = 60_000;

const $ = (id) => document.getElementById(id);

class ChatPage {
  #openId = null;
  #opening = 0;
  #noticeTimer = null;
  #connectionTimer = null;

  constructor() {
    this.socket = new ChatSocket();
    this.live = new LiveTurns(this.socket);
    this.sidebar = new Sidebar($("sidebar"), $("sidebar-open"), $("sidebar-close"), $("backdrop"), $("main"));
    this.list = new ConversationList($("conversations"), $("confirm-delete"));
    this.panel = new PassagePanel($("passage"));
    this.models = new ModelPicker($("model"));
    this.sources = new SourcesPicker($("sources-picker"));
    this.uploads = new Uploads($("uploads"), () => this.sources.uploadCollection);
    this.composer = new Composer({ form: $("composer-form"), field: $("composer-text"), send: $("send"), stop: $("stop") });
    this.thread = new Thread({
      scroller: $("thread"),
      column: $("messages"),
      jump: $("jump"),
      announcer: $("announcer"),
      isConnected: () => this.socket.isOpen,
      onRetry: (turn) => this.ask(turn.question),
      onCite: (citation, opener) => this.panel.open(citation, opener),
    });
  }

  start() {
    this.#listen();
    this.live.restore();
    this.socket.start();
    this.#openFromAddress();
    this.#load(() => this.list.reload(), "Your conversations could not be read");
    this.#load(() => this.models.reload(), "The models could not be read");
    this.#load(() => this.#reloadCollections(), "Your collections could not be read");
    if (matchMedia("(hover: hover)").matches) this.composer.focus();
  }

  /** Asks in the open conversation, or begins one. */
  ask(question) {
    if (this.#runningHere().length) return;
    const request = this.sources.request();
    if (this.models.chosen !== null) request.model = this.models.chosen;
    this.live.start(question, this.#openId, request);
  }

  #listen() {
    const { live, list, composer, socket } = this;
    live.addEventListener("started", ({ detail }) => {
      this.uploads.tidy();
      this.#showTurn(detail);
    });
    live.addEventListener("changed", ({ detail }) => this.#turnChanged(detail));
    live.addEventListener("ended", () => this.#turnEnded());
    live.addEventListener("refused", ({ detail }) => this.#notice(detail.message));
    list.addEventListener("open", ({ detail }) => this.#navigate(detail));
    list.addEventListener("renamed", () => this.#retitle());
    list.addEventListener("deleted", ({ detail }) => detail === this.#openId && this.#navigate(null));
    list.addEventListener("problem", ({ detail }) => this.#notice(detail));
    composer.addEventListener("send", ({ detail }) => this.ask(detail));
    composer.addEventListener("stop", () => this.#stop());
    socket.addEventListener("open", () => this.#connectionChanged());
    socket.addEventListener("closed", () => this.#connectionChanged());
    socket.addEventListener("doubt", () => this.list.reload().catch(() => {}));
    this.uploads.addEventListener("ready", () => this.#load(() => this.#reloadCollections(), ""));
    addEventListener("popstate", () => this.#openFromAddress());
    addEventListener("keydown", (event) => this.#pressed(event));
    $("new-chat").addEventListener("click", () => this.#navigate(null));
    $("log-out").addEventListener("click", () => this.#load(() => this.#logOut(), "You are still logged in"));
    $("skip-link").addEventListener("click", (event) => {
      event.preventDefault();
      composer.focus();
    });
    $("upload-button").addEventListener("click", () => $("upload").click());
    $("upload").addEventListener("change", ({ target }) => {
      this.uploads.add([...target.files]);
      target.value = "";
    });
    acceptDrops($("drop-target"), (files) => this.uploads.add(files));
  }

  /** Opens what the address names. Without a name, a question asked a moment ago is still waiting for its id. */
  #openFromAddress() {
    const found = /^#c=(.+)$/.exec(location.hash);
    if (found) return this.#open(decodeId(found[1]));
    const unnamed = this.live.of(null).filter((turn) => Date.now() - turn.startedAtMs < ADOPT_WITHIN_MS);
    this.#openNew();
    if (unnamed.length) this.#showTurn(unnamed.at(-1));
    return undefined;
  }

  #navigate(id) {
    history.pushState(null, "", id === null ? "/" : `#c=${encodeURIComponent(id)}`);
    if (id === null) this.#openNew();
    else this.#open(id);
    this.sidebar.close();
    if (matchMedia("(hover: hover)").matches) this.composer.focus();
  }

  #openNew() {
    this.#opening += 1;
    this.#setOpen(null);
    this.#showEmpty();
  }

  #showEmpty() {
    const hasSamples = this.sources.knownNames.length === 0 || this.sources.knownNames.includes(SAMPLE_COLLECTION);
    this.thread.showOnly(emptyState(hasSamples, (question) => this.ask(question)));
  }

  async #open(id) {
    const ticket = ++this.#opening;
    this.#setOpen(id);
    this.thread.showOnly(element("p", { class: "quiet opening" }, "Opening…"));
    let messages = [];
    let cursor = null;
    let problem = null;
    try {
      ({ messages, next_cursor: cursor } = await readConversation(id));
    } catch (error) {
      problem = error;
    }
    if (ticket !== this.#opening) return;
    const known = this.live.known(id);
    if (problem && known.length === 0) return this.#showProblem(problem);
    if (problem) this.#notice(`Earlier messages could not be read: ${problem.message}`);
    this.thread.clear();
    this.#showStored(storedTurns(messages, id), id);
    for (const turn of known) this.thread.add(turn);
    this.#offerEarlier(id, cursor);
    this.thread.follow();
    this.#refresh();
  }

  #offerEarlier(id, cursor) {
    this.thread.offerEarlier(cursor ? () => this.#showEarlier(id, cursor) : null);
  }

  async #showEarlier(id, cursor) {
    const ticket = this.#opening;
    try {
      const { messages, next_cursor: next } = await readConversation(id, cursor);
      if (ticket !== this.#opening) return;
      this.thread.offerEarlier(null);
      const turns = storedTurns(messages, id).map((found) => (found.answered ? found.turn : withoutAnswer(found.turn)));
      this.thread.addEarlier(turns);
      this.#offerEarlier(id, next);
    } catch (problem) {
      this.#notice(`Earlier messages could not be read: ${problem.message}`);
    }
  }

  /** A turn whose answer is stored has ended; one without may still be running, here or elsewhere. */
  #showStored(stored, id) {
    for (const [at, { turn, answered }] of stored.entries()) {
      const live = this.live.get(turn.turnId);
      if (answered) {
        if (live?.isRunning) this.live.settle(turn.turnId);
        this.thread.add(live?.outcome === "completed" ? live : turn);
      } else if (live) {
        this.thread.add(live);
      } else if (at === stored.length - 1) {
        this.thread.add(this.live.adopt(turn.turnId, id, turn.question));
      } else {
        this.thread.add(withoutAnswer(turn));
      }
    }
  }

  #showProblem(problem) {
    const isGone = problem.status === 404;
    const words = isGone ? "This conversation does not exist (any more)." : `It could not be opened: ${problem.message}`;
    this.thread.showOnly(element("p", { class: "note note-bad", "data-testid": "failure" }, words));
  }

  #setOpen(id) {
    this.#openId = id;
    this.panel.close();
    this.#refresh();
  }

  #runningHere() {
    return this.live.of(this.#openId).filter((turn) => this.#openId !== null || this.thread.has(turn.turnId));
  }

  #showTurn(turn) {
    if ($("messages").querySelector("[data-testid=answer]") === null) this.thread.clear();
    this.thread.add(turn);
    this.thread.follow();
    this.#refresh();
  }

  #turnChanged(turn) {
    const isNamedNow = this.#openId === null && turn.conversationId !== null && this.thread.has(turn.turnId);
    if (isNamedNow) {
      history.replaceState(null, "", `#c=${encodeURIComponent(turn.conversationId)}`);
      this.#openId = turn.conversationId;
      this.list.expect(turn.conversationId, turn.question);
      this.#refresh();
    }
  }

  #turnEnded() {
    this.#refresh();
    this.#load(() => this.list.reload(), "");
  }

  #stop() {
    for (const turn of this.#runningHere()) this.live.stop(turn);
  }

  #pressed(event) {
    if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (this.sidebar.isOpen) this.sidebar.close();
    else if (this.#runningHere().length) this.#stop();
    else this.panel.close();
  }

  /** The server ends the socket of a session that is over: it is not to be taken for a fault. */
  async #logOut() {
    this.socket.pause();
    try {
      await logOut();
    } catch (error) {
      this.socket.resume();
      throw error;
    }
  }

  #refresh() {
    this.composer.setAnswering(this.#runningHere().length > 0);
    this.list.mark(this.#openId, this.live.running.map((turn) => turn.conversationId));
    this.#retitle();
  }

  #retitle() {
    const title = this.#openId === null ? null : this.list.titleOf(this.#openId);
    $("conversation-title").textContent = title ?? (this.#openId === null ? "New chat" : "");
    document.title = title ? `${title} · Parley` : "Parley";
  }

  async #reloadCollections() {
    await this.sources.reload();
    if (this.#openId === null && $("messages").querySelector("[data-testid=empty]")) this.#showEmpty();
  }

  /** A short break is not worth a word: it is mended before it is read. */
  #connectionChanged() {
    clearTimeout(this.#connectionTimer);
    const banner = $("connection");
    const show = () => {
      banner.textContent = this.socket.isOpen ? "" : "Not connected. Trying again…";
      banner.hidden = this.socket.isOpen;
      this.thread.refresh();
    };
    if (this.socket.isOpen) show();
    else this.#connectionTimer = setTimeout(show, CONNECTION_GRACE_MS);
  }

  async #load(work, words) {
    try {
      await work();
      this.#retitle();
    } catch (error) {
      if (words && error.status !== 401) this.#notice(`${words}: ${error.message}`);
    }
  }

  #notice(words) {
    clearTimeout(this.#noticeTimer);
    $("notice").textContent = words;
    $("notice").hidden = false;
    this.#noticeTimer = setTimeout(() => ($("notice").hidden = true), NOTICE_MS);
  }
}

function decodeId(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

new ChatPage().start();
