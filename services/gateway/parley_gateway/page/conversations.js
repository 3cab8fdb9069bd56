/** The list of conversations: opening, renaming and deleting them. */

import { deleteConversation, listConversations, renameConversation } from "./api.js";
import { button, element, icon } from "./dom.js";

const DAY_MS = 24 * 3600 * 1000;
const TITLE_CHARS = 80;

/** Events: `open` and `deleted` (with the id), `problem` (with words). */
export class ConversationList extends EventTarget {
  #conversations = [];
  #pending = new Map();
  #cursor = null;
  #openId = null;
  #runningIds = new Set();
  #renamingId = null;

  constructor(nav, dialog) {
    super();
    this.nav = nav;
    this.dialog = dialog;
  }

  titleOf(id) {
    return this.#all().find((conversation) => conversation.id === id)?.title ?? null;
  }

  /** Reads the first page again; conversations that were read further down stay. */
  async reload() {
    const page = await listConversations(null);
    const fresh = new Set(page.conversations.map(({ id }) => id));
    const rest = this.#cursor === null ? [] : this.#conversations.filter(({ id }) => !fresh.has(id));
    this.#conversations = [...page.conversations, ...rest];
    if (rest.length === 0) this.#cursor = page.next_cursor;
    for (const id of fresh) this.#pending.delete(id);
    this.#render();
  }

  /** Lists a conversation that the server may not list yet. */
  expect(id, question) {
    if (this.titleOf(id) !== null) return;
    const title = question.trim().replace(/\s+/g, " ").slice(0, TITLE_CHARS);
    this.#pending.set(id, { id, title, updated_at_ms: Date.now(), turns: 1 });
    this.#render();
  }

  mark(openId, runningIds) {
    this.#openId = openId;
    this.#runningIds = new Set(runningIds);
    if (this.#renamingId === null) this.#render();
  }

  #all() {
    return [...this.#pending.values(), ...this.#conversations];
  }

  #render() {
    const groups = new Map();
    for (const conversation of this.#all()) {
      const name = groupName(conversation.updated_at_ms);
      groups.set(name, [...(groups.get(name) ?? []), conversation]);
    }
    const nodes = [...groups].map(([name, items]) =>
      element(
        "section",
        {},
        element("h2", {}, name),
        element("ul", {}, ...items.map((conversation) => this.#item(conversation))),
      ),
    );
    if (nodes.length === 0) nodes.push(element("p", { class: "quiet" }, "Your conversations will be listed here."));
    if (this.#cursor) nodes.push(button("Show older ones", { class: "plain-button more" }, () => this.#more()));
    const focused = this.nav.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    this.nav.replaceChildren(...nodes);
    if (focused) this.nav.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }

  #item(conversation) {
    const { id, title } = conversation;
    if (id === this.#renamingId) return element("li", {}, this.#renameForm(conversation));
    const isOpen = id === this.#openId;
    const open = element(
      "a",
      { href: `#c=${encodeURIComponent(id)}`, class: "conversation-link", "data-focus": `open ${id}`, title },
      this.#runningIds.has(id) ? element("span", { class: "running-dot", title: "Answering" }) : null,
      element("span", { class: "conversation-title" }, title),
    );
    if (isOpen) open.setAttribute("aria-current", "page");
    open.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#emit("open", id);
    });
    const rename = iconButton("pencil", `Rename “${title}”`, `rename ${id}`, () => this.#startRenaming(id));
    const remove = iconButton("trash", `Delete “${title}”`, `delete ${id}`, () => this.#confirmDelete(conversation));
    return element("li", { class: "conversation", "data-testid": "conversation", "data-id": id }, open, rename, remove);
  }

  #startRenaming(id) {
    this.#renamingId = id;
    this.#render();
    this.nav.querySelector(".rename-input").select();
  }

  #renameForm({ id, title }) {
    const field = element("input", { class: "rename-input", "aria-label": "New title", maxlength: 200 });
    field.value = title;
    const form = element("form", { class: "rename" }, field);
    let isDone = false;
    const finish = (isKept) => {
      if (isDone) return;
      isDone = true;
      this.#renamingId = null;
      const fresh = field.value.trim();
      if (isKept && fresh && fresh !== title) this.#rename(id, fresh);
      else this.#render();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      finish(true);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      finish(false);
    });
    field.addEventListener("blur", () => finish(true));
    return form;
  }

  async #rename(id, title) {
    const before = this.titleOf(id);
    this.#retitle(id, title);
    try {
      await renameConversation(id, title);
    } catch (error) {
      this.#retitle(id, before);
      this.#emit("problem", `The conversation was not renamed: ${error.message}`);
    }
  }

  #retitle(id, title) {
    const change = (conversation) => (conversation.id === id ? { ...conversation, title } : conversation);
    this.#conversations = this.#conversations.map(change);
    if (this.#pending.has(id)) this.#pending.set(id, change(this.#pending.get(id)));
    this.#render();
    this.#emit("renamed", id);
  }

  #confirmDelete({ id, title }) {
    this.dialog.querySelector("p").textContent = `“${title}” and its answers will be gone for good.`;
    this.dialog.returnValue = "keep";
    this.dialog.addEventListener("close", () => this.dialog.returnValue === "delete" && this.#delete(id), { once: true });
    this.dialog.showModal();
  }

  async #delete(id) {
    try {
      await deleteConversation(id);
    } catch (error) {
      if (error.status !== 404) return this.#emit("problem", `The conversation was not deleted: ${error.message}`);
    }
    this.#conversations = this.#conversations.filter((conversation) => conversation.id !== id);
    this.#pending.delete(id);
    this.#render();
    return this.#emit("deleted", id);
  }

  async #more() {
    try {
      const page = await listConversations(this.#cursor);
      const known = new Set(this.#all().map(({ id }) => id));
      this.#conversations.push(...page.conversations.filter(({ id }) => !known.has(id)));
      this.#cursor = page.next_cursor;
      this.#render();
    } catch (error) {
      this.#emit("problem", `Older conversations could not be read: ${error.message}`);
    }
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function iconButton(name, label, focus, onClick) {
  const node = button("", { class: "icon-button small", "aria-label": label, title: label, "data-focus": focus }, onClick);
  node.replaceChildren(icon(name));
  return node;
}

function groupName(updatedAtMs) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (updatedAtMs >= midnight) return "Today";
  if (updatedAtMs >= midnight - DAY_MS) return "Yesterday";
  return updatedAtMs >= midnight - 7 * DAY_MS ? "This week" : "Earlier";
}
