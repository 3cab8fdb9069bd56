/** Thumbs on a citation: whether it supports what the answer says. Kept by the server, one for each citation. */

import { deleteVerdict, listVerdicts, sendVerdict } from "./api.js";
import { element, icon } from "./dom.js";

const WORDS = {
  up: { icon: "thumb-up", label: (n) => `Source ${n} supports the answer` },
  down: { icon: "thumb-down", label: (n) => `Source ${n} does not support the answer` },
};

const kept = new Map();
let asked = null;
let sending = Promise.resolve();

const key = (turnId, n) => `${n} ${turnId}`;

/** Asks once for what was said before; until there is an answer the thumbs are unpressed. */
function whatWasSaid() {
  asked ??= readAll().catch(() => {
    asked = null;
  });
  return asked;
}

async function readAll() {
  let cursor = null;
  do {
    const page = await listVerdicts(cursor);
    for (const { turn_id: turnId, n, verdict } of page.feedback) {
      // What was pressed here since is newer.
      if (!kept.has(key(turnId, n))) kept.set(key(turnId, n), verdict);
    }
    cursor = page.next_cursor;
  } while (cursor);
}

/** Returns the two thumbs of a citation, each a toggle: pressing it again takes the verdict back. */
export function verdictButtons(turnId, n) {
  const said = element("span", { class: "verdict-said", role: "status" });
  const thumbs = Object.entries(WORDS).map(([verdict, words]) => {
    const label = words.label(n);
    const thumb = element(
      "button",
      { type: "button", class: "verdict", "data-testid": `verdict-${verdict}`, "aria-label": label, title: label },
      icon(words.icon),
    );
    thumb.addEventListener("click", () => press(verdict));
    return [verdict, thumb];
  });

  function show() {
    for (const [verdict, thumb] of thumbs) {
      thumb.setAttribute("aria-pressed", String(kept.get(key(turnId, n)) === verdict));
    }
  }

  function press(verdict) {
    const before = kept.get(key(turnId, n)) ?? null;
    const wanted = before === verdict ? null : verdict;
    kept.set(key(turnId, n), wanted);
    show();
    // One after the other, so that what was pressed last is what is kept.
    sending = sending.then(() => send(before, wanted));
  }

  async function send(before, wanted) {
    try {
      if (wanted === null) await takeBack(turnId, n);
      else await sendVerdict(turnId, n, wanted);
      said.textContent = wanted === null ? "Taken back." : "Thank you.";
    } catch (error) {
      if (kept.get(key(turnId, n)) === wanted) kept.set(key(turnId, n), before);
      show();
      said.textContent = `Not kept: ${error.message}`;
    }
  }

  show();
  whatWasSaid().then(show);
  return element("span", { class: "verdicts" }, ...thumbs.map(([, thumb]) => thumb), said);
}

async function takeBack(turnId, n) {
  try {
    await deleteVerdict(turnId, n);
  } catch (error) {
    if (error.status !== 404) throw error; // Taken back elsewhere.
  }
}
