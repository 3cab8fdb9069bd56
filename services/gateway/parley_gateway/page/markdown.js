/** Cuts Markdown into blocks and renders each as a DOM node. A small subset; anything else stays text. */

import { button, element } from "./dom.js";
import { inlineNodes } from "./inline_markdown.js";

const MAX_DEPTH = 6;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\n]*)$/;
const HEADING = /^(?=.{1,500}$) {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s{0,8})([-*+]|\d{1,9}[.)])(\s+)(?=\S)/;
const DELIMITERS = /^(?=.{1,500}$) {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** Returns the blocks of `text` in order, each `{kind, lines, ...}`; `lines` join to the block's source. */
export function splitBlocks(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === "") {
      at += 1;
      continue;
    }
    const block = readBlock(lines, at);
    blocks.push(block);
    at += block.lines.length;
  }
  return blocks;
}

/** Returns a block's node; `context` is that of `inlineNodes`. */
export function renderBlock(block, context, depth = 0) {
  return RENDERERS[block.kind](block, context, depth);
}

/** Returns the blocks of a text that still grows, without the marks at its end that mean nothing yet. */
export function growingBlocks(text) {
  const isInCode = endsInsideCode(splitBlocks(text));
  return splitBlocks(isInCode ? withoutFormingFence(text) : withoutFormingMarks(text));
}

function endsInsideCode(blocks) {
  const last = blocks.at(-1);
  return last?.kind === "code" && last.body.length > 0;
}

function withoutFormingFence(text) {
  const lineStart = text.lastIndexOf("\n") + 1;
  return /^ {0,3}(?:`+|~+)\s*$/.test(text.slice(lineStart)) ? text.slice(0, lineStart - 1) : text;
}

function withoutFormingMarks(text) {
  const lineStart = text.lastIndexOf("\n") + 1;
  const line = text.slice(lineStart);
  const isFence = /^ {0,3}(?:`{1,2}|`{3,}[^`]*|~{1,}[^~]*)$/.test(line);
  const isMarker = /^\s*(?:#{1,6}|[-*+>]|\d{1,3}[.)]?)\s*$/.test(line);
  if (isFence || isMarker) return text.slice(0, lineStart);
  return text
    .replace(/\[\d{1,3}(?:\s*,\s*\d{0,3})*$|\[$/, "")
    .replace(/\[([^[\]\n]{1,300})\]\([^()\s]{0,2000}$/, "$1")
    .replace(/(?:\*{1,3}|_{1,2}|`{1,2}|~{1,2}|\\)$/, "");
}

function readBlock(lines, at) {
  const first = lines[at];
  if (FENCE.test(first)) return readFence(lines, at);
  if (HEADING.test(first)) return { kind: "heading", lines: [first] };
  if (RULE.test(first)) return { kind: "rule", lines: [first] };
  if (QUOTE.test(first)) return { kind: "quote", lines: takeWhile(lines, at, (line) => QUOTE.test(line)) };
  if (ITEM.test(first)) return readList(lines, at);
  if (isTable(lines, at)) {
    return { kind: "table", lines: takeWhile(lines, at, (line) => line.includes("|")) };
  }
  const more = takeWhile(lines, at + 1, (line, index) => line.trim() !== "" && !startsBlock(lines, index));
  return { kind: "paragraph", lines: [first, ...more] };
}

function takeWhile(lines, at, isIn) {
  let end = at;
  while (end < lines.length && isIn(lines[end], end)) end += 1;
  return lines.slice(at, end);
}

function startsBlock(lines, at) {
  const line = lines[at];
  const item = ITEM.exec(line);
  const interrupts = item && (!/\d/.test(item[2]) || /^1[.)]$/.test(item[2]));
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || interrupts || isTable(lines, at);
}

function readFence(lines, at) {
  const [, fence, language] = FENCE.exec(lines[at]);
  const closing = new RegExp(`^ {0,3}\\${fence[0]}{${fence.length},}\\s*$`);
  const body = takeWhile(lines, at + 1, (line) => !closing.test(line));
  const isClosed = at + 1 + body.length < lines.length;
  const end = at + 1 + body.length + (isClosed ? 1 : 0);
  return { kind: "code", lines: lines.slice(at, end), body, language: language.trim().split(/\s/)[0] };
}

/** A list goes on over blank lines as long as what follows is another item or stands indented under one. */
function readList(lines, at) {
  const isOrdered = /\d/.test(ITEM.exec(lines[at])[2]);
  let end = at + 1;
  let next = end;
  while (next < lines.length) {
    const line = lines[next];
    const item = ITEM.exec(line);
    const isSibling = item && (/^\s{2,}/.test(line) || /\d/.test(item[2]) === isOrdered) && !RULE.test(line);
    const isIndented = /^\s{2,}\S/.test(line);
    const isLazy = next === end && line.trim() !== "" && !startsBlock(lines, next);
    if (isSibling || isIndented || isLazy) end = next + 1;
    else if (line.trim() !== "") break;
    next += 1;
  }
  return { kind: "list", lines: lines.slice(at, end), isOrdered };
}

function isTable(lines, at) {
  const header = lines[at];
  const delimiters = lines[at + 1] ?? "";
  if (!header.includes("|") || !DELIMITERS.test(delimiters) || !delimiters.includes("-")) return false;
  return cells(header).length === cells(delimiters).length;
}

function cells(line) {
  const parts = [""];
  const trimmed = line.trim().replace(/^\||\|$/g, "");
  for (const piece of trimmed.matchAll(/\\\||`[^`]*`|\||[^|\\`]+|[^]/g)) {
    if (piece[0] === "|") parts.push("");
    else parts[parts.length - 1] += piece[0] === "\\|" ? "|" : piece[0];
  }
  return parts.map((part) => part.trim());
}

const RENDERERS = {
  paragraph: (block, context) => {
    const forming = context.isOpen && formingTable(block);
    return forming ? tableNode(forming, context) : element("p", {}, ...inlineNodes(block.lines.join("\n").trim(), context));
  },
  heading: (block, context) => {
    const [, marks, words] = HEADING.exec(block.lines[0]);
    return element(`h${Math.min(6, marks.length + 1)}`, {}, ...inlineNodes(words, context));
  },
  rule: () => element("hr"),
  code: (block) =>
    element(
      "div",
      { class: "code" },
      element(
        "div",
        { class: "code-head" },
        element("span", {}, block.language || "text"),
        button("Copy", { class: "copy", "data-copy": true, "aria-label": "Copy this code" }),
      ),
      element("pre", { tabindex: "0" }, element("code", {}, block.body.join("\n"))),
    ),
  quote: (block, context, depth) => {
    const inner = block.lines.map((line) => line.replace(QUOTE, "")).join("\n");
    return element("blockquote", {}, ...nested(inner, context, depth));
  },
  list: listNode,
  table: (block, context) => tableNode(block.lines, context),
};

/** A header row whose delimiter row is still being written is a table already. */
function formingTable(block) {
  const [header, ...rest] = block.lines;
  const isForming = /^\s*\|/.test(header) && rest.length <= 1 && rest.every((line) => /^[\s|:-]*$/.test(line));
  return isForming ? [header] : null;
}

function nested(source, context, depth) {
  if (depth >= MAX_DEPTH) return [element("p", {}, source)];
  const blocks = splitBlocks(source);
  return blocks.map((block, at) => {
    const isOpen = context.isOpen && at === blocks.length - 1;
    return renderBlock(block, { ...context, isOpen }, depth + 1);
  });
}

function listNode(block, context, depth) {
  const items = listItems(block.lines);
  const isLoose = block.lines.some((line) => line.trim() === "");
  const start = block.isOrdered ? Number.parseInt(block.lines[0].trim(), 10) : null;
  const nodes = items.map((source, at) => {
    const children = nested(source, { ...context, isOpen: context.isOpen && at === items.length - 1 }, depth);
    const isTight = !isLoose && children[0]?.nodeName === "P";
    return element("li", {}, ...(isTight ? [...children[0].childNodes, ...children.slice(1)] : children));
  });
  return element(block.isOrdered ? "ol" : "ul", start === null || start === 1 ? {} : { start }, ...nodes);
}

/** Returns each item's source, with its marker and indentation taken off. */
function listItems(lines) {
  const base = ITEM.exec(lines[0])[1].length;
  const items = [];
  let width = 0;
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length < base + 2) {
      width = item[0].length;
      items.push([line.slice(width)]);
    } else {
      const indent = /^\s*/.exec(line)[0].length;
      items[items.length - 1].push(line.slice(Math.min(width, indent)));
    }
  }
  return items.map((item) => item.join("\n"));
}

function tableNode([header, delimiters, ...rows], context) {
  const titles = cells(header);
  const aligned = delimiters ? cells(delimiters).map((cell) => alignment(cell)) : [];
  const row = (tag, values) =>
    element(
      "tr",
      {},
      ...titles.map((_, at) => element(tag, { class: aligned[at] ?? null }, ...inlineNodes(values[at] ?? "", context))),
    );
  const body = rows.map((line) => row("td", cells(line)));
  return element(
    "div",
    { class: "table", tabindex: "0" },
    element("table", {}, element("thead", {}, row("th", titles)), element("tbody", {}, ...body)),
  );
}

function alignment(cell) {
  if (cell.endsWith(":")) return cell.startsWith(":") ? "align-center" : "align-right";
  return null;
}
