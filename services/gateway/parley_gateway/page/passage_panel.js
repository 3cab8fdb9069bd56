/** The side panel that shows a cited passage, marked, in what stands around it. */

import { ApiError, readPassage } from "./api.js";
import { placeWords, sourceName } from "./citations.js";
import { element, icon } from "./dom.js";
import { outsideLink, safeAddress } from "./inline_markdown.js";

export class PassagePanel {
  #opener = null;
  #shown = 0;

  constructor(panel) {
    this.panel = panel;
    panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
  }

  get isOpen() {
    return !this.panel.hidden;
  }

  /** Shows a citation; focus comes back to `opener` when the panel closes. */
  async open(citation, opener) {
    this.#opener = opener;
    const ticket = ++this.#shown;
    const body = element("div", { class: "passage-body", tabindex: "0" }, element("p", { class: "quiet" }, "Opening…"));
    const place = element("p", { class: "passage-place" }, placeWords(citation));
    this.panel.replaceChildren(this.#head(citation), place, body);
    this.panel.hidden = false;
    this.panel.querySelector(".passage-close").focus({ preventScroll: true });
    const shown = citation.url ? webPassage(citation) : await documentPassage(citation, place);
    if (ticket !== this.#shown) return;
    body.replaceChildren(...shown);
    body.querySelector("mark")?.scrollIntoView({ block: "center" });
  }

  close() {
    if (!this.isOpen) return;
    this.#shown += 1;
    this.panel.hidden = true;
    if (this.#opener?.isConnected) this.#opener.focus({ preventScroll: true });
  }

  #head(citation) {
    const close = element("button", { type: "button", class: "icon-button passage-close", "aria-label": "Close the passage" });
    close.append(icon("close"));
    close.addEventListener("click", () => this.close());
    return element(
      "header",
      { class: "passage-head" },
      element("span", { class: "source-number" }, String(citation.n)),
      element("h2", { id: "passage-title", title: sourceName(citation) }, sourceName(citation)),
      close,
    );
  }
}

async function documentPassage(citation, place) {
  try {
    const passage = await readPassage(citation.document.id, citation.start, citation.end);
    place.textContent = placeWords(citation, passage.page ?? citation.page);
    return [
      element(
        "div",
        { class: "passage-text" },
        passage.before,
        element("mark", {}, passage.text),
        passage.after,
      ),
    ];
  } catch (error) {
    const isGone = error instanceof ApiError && error.status === 404;
    const words = isGone
      ? "This document has been removed. The answer was given this passage:"
      : `What stands around it cannot be shown right now (${error.message}). The passage itself:`;
    return [element("p", { class: "quiet" }, words), quoted(citation)];
  }
}

function webPassage(citation) {
  const address = safeAddress(citation.url);
  const link = address ? outsideLink(address, citation.url) : document.createTextNode(citation.url);
  return [element("p", { class: "passage-link" }, link), quoted(citation)];
}

function quoted(citation) {
  return element("div", { class: "passage-text" }, element("mark", {}, citation.text));
}
