/** What a new chat shows: what this is for, and questions to begin with. */

import { button, element } from "./dom.js";

export const SAMPLE_COLLECTION = "parley-docs";

const SAMPLES = [
  "Which service may write to a turn's events, and how is that passed on?",
  "What happens to an answer when the process that writes it dies?",
  "How does a client get the rest of an answer after its connection broke?",
];

/** Returns the node; `hasSamples` says whether the collection that the sample questions are about is there. */
export function emptyState(hasSamples, onAsk) {
  const samples = SAMPLES.map((question) =>
    element("li", {}, button(question, { class: "sample", "data-testid": "sample" }, () => onAsk(question))),
  );
  const teaching = hasSamples
    ? [
        element("p", { class: "quiet" }, "Parley's own documents are here already. Try one of these:"),
        element("ul", { class: "samples" }, ...samples),
      ]
    : [element("p", { class: "quiet" }, "Drop a file here, or add one with the paper clip, and ask about it.")];
  return element(
    "section",
    { class: "empty", "data-testid": "empty" },
    element("h2", {}, "Ask about your documents"),
    element("p", {}, "Answers come with numbered sources: click a number to read the passage it rests on."),
    ...teaching,
  );
}
