/** Adding files: sends each, then watches it being read and indexed, and says why one failed. */

import { readDocument, uploadDocument } from "./api.js";
import { button, element, icon } from "./dom.js";
import { countWords } from "./words.js";

const POLL_MIN_MS = 400;
const POLL_MAX_MS = 3_000;
const POLL_FAILURES_ALLOWED = 10;
const SENDING_AT_ONCE = 2;

/** Events: `ready` when a file can be asked about. */
export class Uploads extends EventTarget {
  #waiting = [];
  #sending = 0;

  constructor(list, collection) {
    super();
    this.list = list;
    this.collection = collection;
  }

  add(files) {
    for (const file of files) this.#waiting.push(this.#row(file));
    this.#next();
  }

  /** Takes away the rows of files that are ready: they have been read. */
  tidy() {
    for (const node of this.list.querySelectorAll("[data-state=ready]")) node.remove();
  }

  #row(file) {
    const row = {
      file,
      collection: this.collection(),
      status: element("span", { class: "upload-status", role: "status" }, "Waiting…"),
      progress: element("progress", { max: 1, value: 0, "aria-label": `Progress of ${file.name}` }),
    };
    const close = button("", { class: "icon-button small", "aria-label": `Hide ${file.name}` }, () => row.node.remove());
    close.replaceChildren(icon("close"));
    const name = element("span", { class: "upload-name", title: file.name }, file.name);
    row.node = element(
      "li",
      { class: "upload", "data-testid": "upload-item", "data-state": "waiting" },
      element("span", { class: "upload-words" }, name, row.status),
      close,
      row.progress,
    );
    this.list.append(row.node);
    return row;
  }

  #next() {
    while (this.#sending < SENDING_AT_ONCE && this.#waiting.length) {
      this.#sending += 1;
      this.#send(this.#waiting.shift()).finally(() => {
        this.#sending -= 1;
        this.#next();
      });
    }
  }

  async #send(row) {
    if (row.file.size === 0) return fail(row, "The file is empty.");
    show(row, "sending", "Sending…", 0);
    try {
      const { document } = await uploadDocument(row.file, row.collection, (share) =>
        show(row, "sending", share < 1 ? `Sending ${Math.round(share * 100)} %` : "Sent, reading it…", share),
      );
      this.#watch(row, document);
    } catch (error) {
      fail(row, error.message);
    }
    return undefined;
  }

  async #watch(row, document) {
    let wait = POLL_MIN_MS;
    let failures = 0;
    let current = document;
    while (!this.#isSettled(row, current)) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(POLL_MAX_MS, wait * 1.2);
      try {
        current = (await readDocument(current.id)).document;
        failures = 0;
      } catch (error) {
        failures += 1;
        if (error.status === 404 || failures >= POLL_FAILURES_ALLOWED) return fail(row, error.message);
      }
    }
    return undefined;
  }

  #isSettled(row, document) {
    const { status, error, chunks, chunks_done: done } = document;
    if (status === "failed" || status === "cancelled") {
      fail(row, error ?? (status === "failed" ? "The file could not be read." : "Reading it was cancelled."));
      return true;
    }
    if (status === "ready") {
      // Of an archive that is ready, some files may have failed.
      const words = [`Ready in ${row.collection}`, sizeWords(document), error].filter(Boolean);
      show(row, "ready", words.join(" · "), 1);
      this.dispatchEvent(new Event("ready"));
      return true;
    }
    if (chunks > 0) show(row, "indexing", `Indexing ${done} of ${chunks} passages`, done / chunks);
    else show(row, "reading", status === "queued" ? "Waiting to be read…" : "Reading…", null);
    return false;
  }
}

function sizeWords({ members, pages, chunks }) {
  if (members) return countWords(members, "file", "files");
  return pages ? countWords(pages, "page", "pages") : countWords(chunks, "passage", "passages");
}

function show(row, state, words, share) {
  row.node.dataset.state = state;
  row.status.textContent = words;
  row.progress.hidden = state === "ready" || state === "failed";
  if (share === null) row.progress.removeAttribute("value");
  else row.progress.value = share;
}

function fail(row, reason) {
  show(row, "failed", reason, 0);
}

/** Accepts files dropped anywhere on the page. */
export function acceptDrops(target, onFiles) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const leave = () => {
    depth = 0;
    target.hidden = true;
  };
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    target.hidden = false;
  });
  addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) leave();
  });
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    leave();
    onFiles([...event.dataTransfer.files]);
  });
}
