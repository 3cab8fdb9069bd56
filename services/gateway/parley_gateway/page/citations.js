/** Citations: the numbered buttons in an answer, the list of sources under it, and how a source is named. */

import { safeAddress } from "./inline_markdown.js";
import { button, element } from "./dom.js";
import { verdictButtons } from "./verdicts.js";

/** Returns where a citation stands inside its document: its page or pages, or its heading, or nothing. */
export function placeWords(citation, page = citation.page) {
  if (page === null || page === undefined) return citation.heading ?? "";
  const isOne = citation.end_page === null || citation.end_page === undefined;
  return isOne ? `page ${page}` : `pages ${page}–${citation.end_page}`;
}

/** Returns the name a source goes by: the file, or the web page's host. */
export function sourceName(citation) {
  if (!citation.url) return citation.document.name;
  const address = safeAddress(citation.url);
  return citation.document.name || (address ? new URL(address).host : citation.url);
}

/** Returns `citation(n)` for the Markdown renderer: a button, or null for a number that cites nothing. */
export function citationButtons(citations) {
  const byNumber = new Map(citations.map((citation) => [citation.n, citation]));
  return (n) => {
    const cited = byNumber.get(n);
    return cited ? citationButton(cited) : null;
  };
}

function citationButton(cited) {
  const place = placeWords(cited);
  const label = `Source ${cited.n}: ${sourceName(cited)}${place ? `, ${place}` : ""}`;
  return button(String(cited.n), {
    class: "cite",
    "data-cite": cited.n,
    "data-testid": "citation",
    "aria-label": label,
    title: label,
  });
}

/** Returns the list of the sources that a turn cites, or null when it cites none. */
export function sourceList({ turnId, cited: citations }) {
  if (citations.length === 0) return null;
  const items = [...citations]
    .sort((a, b) => a.n - b.n)
    .map((cited) => element("li", {}, sourceButton(cited), verdictButtons(turnId, cited.n)));
  return element(
    "section",
    { class: "sources", "data-testid": "sources", "aria-label": "Sources" },
    element("h3", {}, "Sources"),
    element("ol", {}, ...items),
  );
}

function sourceButton(cited) {
  const place = placeWords(cited);
  return element(
    "button",
    { type: "button", class: "source", "data-cite": cited.n, "data-testid": "source" },
    element("span", { class: "source-number" }, String(cited.n)),
    element("span", { class: "source-name" }, sourceName(cited)),
    place ? element("span", { class: "source-place" }, place) : null,
  );
}
