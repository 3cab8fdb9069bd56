/** What the page says about a turn, in plain words. */

const STAGES = { gathering: "Looking things up…", generating: "Writing…" };

const PARTS = {
  memory: "earlier messages and memories were out of reach",
  history: "earlier messages were out of reach",
  rag: "your documents could not be searched",
  retrieval: "your documents could not be searched",
  npu: "documents were searched by words only, not by meaning",
  embedding: "documents were searched by words only, not by meaning",
  reranker: "passages were not put into their best order",
  browser: "the web page could not be read",
  web: "the web page could not be read",
  llm: "no language model was in reach, so this quotes the passages directly",
  model: "no language model was in reach, so this quotes the passages directly",
};

const SUPPORT = {
  uncited: "This answer cites none of the passages that were found for it.",
  nothing_found: "Nothing was found in your documents to rest this answer on.",
};

/** Returns what people call a model: the one that only quotes says so. */
export function modelWords(id) {
  return id === "extractive" ? "Quotes only" : id;
}

/** Returns what a running turn is doing. */
export function stageWords(turn, isConnected) {
  if (turn.isStopping) return "Stopping…";
  if (!isConnected) return "Waiting for the connection…";
  if (turn.place === 1) return "Waiting, next in line…";
  if (turn.place > 1) return `Waiting, ${turn.place - 1} before you…`;
  return STAGES[turn.stage] ?? (turn.isAccepted ? "Starting…" : "Sending…");
}

/** Returns one sentence naming the parts an answer had to do without, or null. */
export function degradedWords(parts) {
  const known = new Set(parts.map((part) => PARTS[part.split(/[.:]/)[0]] ?? `${part} was not available`));
  return known.size ? `For this answer, ${[...known].join("; ")}.` : null;
}

/** Returns a sentence when an answer does not rest on what was searched for it, or null. */
export function supportWords(support) {
  return SUPPORT[support] ?? null;
}

/** Returns a duration as people say it. */
export function durationWords(ms) {
  if (ms < 1000) return `${Math.max(1, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** Returns a plural or singular count. */
export function countWords(count, one, many) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}
