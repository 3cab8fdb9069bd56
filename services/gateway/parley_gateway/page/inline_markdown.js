/** Markdown inside a block (code, emphasis, links, citations) as DOM nodes. Text only ever becomes text nodes. */

import { element } from "./dom.js";

const MAX_DEPTH = 6;
const CODE = /(`+)([^`]|[^`][^]*?[^`])\1(?!`)/y;
const OPEN_CODE = /`+([^`]+)$/y;
const LINK = /!?\[([^[\]\n]{0,300})\]\(\s*<?([^()\s<>]{1,2000}(?:\([^()\s<>]{0,200}\)[^()\s<>]{0,200})?)>?(?:\s+["'][^"'\n]{0,300}["'])?\s*\)/y;
const CITATION = /[[\u3010](\d{1,3}(?:\s*[-,\u2013]\s*\d{1,3}){0,9})(?:\u2020[^\u3011\n]{0,40})?[\]\u3011]([.,;:!?]*)/y;
const RANGE_LIMIT = 50;
const ADDRESS = /<?(https?:\/\/[^\s<>"'`]{1,2000})>?/y;
const ESCAPE = /\\([!-/:-@[-`{-~])/y;
const BREAK = /(?: {2,}|\\)?\n/y;
const PLAIN = /[^\\`![\]<*_~\nh\u3010]+|h(?!ttps?:\/\/)/y;
const MARKS = { "***": null, "**": "strong", __: "strong", "~~": "del", "*": "em", _: "em" };
const MARK = /\*\*\*|\*\*|__|~~|\*|_/y;

/** Returns an address that is safe to link to, or null: http and https only. */
export function safeAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

/** Returns a link that tells the other side nothing about this page. */
export function outsideLink(address, ...children) {
  return element("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

/** Returns the numbers of `1, 3-5`; none when a range is no range. */
function citedNumbers(mark) {
  const parts = mark.split(",").map((part) => part.split(/[-\u2013]/).map(Number));
  if (parts.some((ends) => ends.length > 2 || ends.at(-1) < ends[0] || ends.at(-1) - ends[0] > RANGE_LIMIT)) return [];
  return parts.flatMap(([first, last = first]) => Array.from({ length: last - first + 1 }, (_, more) => first + more));
}

/** Returns the nodes of `source`.
 *
 * `citation(n)` returns the node for a citation or null when there is none with this number. `isOpen` means
 * that more text follows: marks that have not been closed yet already count, so that nothing flips later.
 */
export function inlineNodes(source, { citation, isOpen = false }, depth = 0) {
  return new InlineParser(source, citation, isOpen, depth).parse();
}

class InlineParser {
  #at = 0;
  #nodes = [];
  #text = "";
  #unclosed = new Set();

  constructor(source, citation, isOpen, depth) {
    this.source = source;
    this.citation = citation;
    this.isOpen = isOpen;
    this.depth = depth;
  }

  parse() {
    while (this.#at < this.source.length) {
      if (!(this.#plain() || this.#code() || this.#link() || this.#cite() || this.#address() || this.#other())) {
        this.#text += this.source[this.#at];
        this.#at += 1;
      }
    }
    this.#flush();
    return this.#nodes;
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.source);
  }

  #flush() {
    if (this.#text) this.#nodes.push(document.createTextNode(this.#text));
    this.#text = "";
  }

  #take(length, ...nodes) {
    this.#flush();
    this.#nodes.push(...nodes);
    this.#at += length;
    return true;
  }

  #plain() {
    const found = this.#match(PLAIN);
    if (!found) return false;
    this.#text += found[0];
    this.#at += found[0].length;
    return true;
  }

  #code() {
    if (this.source[this.#at] !== "`") return false;
    const run = /`+/y;
    run.lastIndex = this.#at;
    const ticks = run.exec(this.source)[0];
    const found = this.#unclosed.has(ticks) ? null : this.#match(CODE);
    if (found) return this.#take(found[0].length, element("code", {}, found[2].replace(/\n/g, " ").trim()));
    this.#unclosed.add(ticks);
    const open = this.isOpen ? this.#match(OPEN_CODE) : null;
    if (open) return this.#take(open[0].length, element("code", {}, open[1].trim()));
    this.#text += ticks;
    this.#at += ticks.length;
    return true;
  }

  #link() {
    const found = this.#match(LINK);
    if (!found) return false;
    const address = safeAddress(found[2]);
    const words = found[1] || found[2];
    const nodes = this.depth < MAX_DEPTH ? this.#inner(words) : [document.createTextNode(words)];
    return this.#take(found[0].length, ...(address ? [outsideLink(address, ...nodes)] : nodes));
  }

  #cite() {
    const found = this.#match(CITATION);
    if (!found) return false;
    const nodes = citedNumbers(found[1]).map((number) => this.citation(number));
    if (nodes.length === 0 || !nodes.every(Boolean)) return false;
    return this.#take(found[0].length, element("span", { class: "cites" }, ...nodes, found[2]));
  }

  #address() {
    const found = this.#match(ADDRESS);
    if (!found) return false;
    const isBracketed = found[0].startsWith("<") && found[0].endsWith(">");
    const words = isBracketed ? found[1] : found[1].replace(/[.,;:!?)\]*_~]+$/, "");
    const address = safeAddress(words);
    if (!address) return false;
    const length = isBracketed ? found[0].length : words.length + (found[0].startsWith("<") ? 1 : 0);
    return this.#take(length, outsideLink(address, words));
  }

  #other() {
    const escaped = this.#match(ESCAPE);
    if (escaped) {
      this.#text += escaped[1];
      this.#at += escaped[0].length;
      return true;
    }
    const lineBreak = this.#match(BREAK);
    if (lineBreak) return this.#take(lineBreak[0].length, element("br"));
    return this.#emphasis();
  }

  #emphasis() {
    const found = this.#match(MARK);
    if (!found || this.depth >= MAX_DEPTH) return false;
    const mark = found[0];
    const start = this.#at + mark.length;
    if (!this.#canOpen(mark, start)) return this.#literal(mark);
    const close = this.#unclosed.has(mark) ? -1 : this.#closing(mark, start);
    if (close > start) {
      return this.#take(mark.length * 2 + close - start, wrapped(mark, this.#inner(this.source.slice(start, close))));
    }
    this.#unclosed.add(mark);
    if (!this.isOpen || (mark.length === 1 && /[\p{L}\p{N}]/u.test(this.source[this.#at - 1] ?? " "))) {
      return this.#literal(mark);
    }
    return this.#take(this.source.length - this.#at, wrapped(mark, this.#inner(this.source.slice(start), true)));
  }

  #literal(mark) {
    this.#text += mark;
    this.#at += mark.length;
    return true;
  }

  #canOpen(mark, start) {
    if (/\s/.test(this.source[start] ?? " ")) return false;
    return mark[0] !== "_" || !/[\p{L}\p{N}]/u.test(this.source[this.#at - 1] ?? " ");
  }

  #closing(mark, start) {
    for (let at = this.source.indexOf(mark, start); at !== -1; at = this.source.indexOf(mark, at + mark.length)) {
      const isDouble = mark.length === 1 && this.source[at + 1] === mark;
      const insideWord = mark[0] === "_" && /[\p{L}\p{N}]/u.test(this.source[at + mark.length] ?? " ");
      if (isDouble) at += 1;
      else if (!insideWord && !/[\s\\]/.test(this.source[at - 1])) return at;
    }
    return -1;
  }

  #inner(source, isOpen = false) {
    return inlineNodes(source, { citation: this.citation, isOpen }, this.depth + 1);
  }
}

function wrapped(mark, nodes) {
  if (mark === "***") return element("strong", {}, element("em", {}, ...nodes));
  return element(MARKS[mark], {}, ...nodes);
}
