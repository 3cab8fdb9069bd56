/** Renders Markdown that grows: only blocks whose source changed are rendered again, and patched in place. */

import { morph } from "./dom.js";
import { growingBlocks, renderBlock, splitBlocks } from "./markdown.js";

export class StreamedMarkdown {
  #shown = [];

  constructor(container) {
    this.container = container;
  }

  /** Shows `text`. `citationsKey` names what `citation(n)` knows: when it changes, everything is rendered again. */
  update(text, { isStreaming, citation, citationsKey }) {
    const blocks = isStreaming ? growingBlocks(text) : splitBlocks(text);
    blocks.forEach((block, at) => {
      const isOpen = isStreaming && at === blocks.length - 1;
      const key = `${isOpen}\n${citationsKey}\n${block.lines.join("\n")}`;
      if (this.#shown[at]?.key !== key) this.#show(at, key, renderBlock(block, { citation, isOpen }));
    });
    for (const { node } of this.#shown.splice(blocks.length)) node.remove();
  }

  /** Returns the text of the blocks from `first` on that will not change any more. */
  settledText(first, isStreaming) {
    return this.#shown.slice(first, isStreaming ? -1 : undefined).map(({ node }) => readable(node));
  }

  #show(at, key, fresh) {
    const shown = this.#shown[at];
    if (!shown) {
      this.container.append(fresh);
      this.#shown[at] = { key, node: fresh };
      return;
    }
    const previous = shown.node;
    morph(previous, fresh);
    this.#shown[at] = { key, node: previous.parentNode === this.container ? previous : fresh };
  }
}

function readable(node) {
  const copy = node.cloneNode(true);
  for (const control of copy.querySelectorAll("button")) control.remove();
  return copy.textContent.trim();
}
