/** Thumbs on a citation: whether it supports what the answer says. Kept by the server, one for each citation. */

import { deleteVerdict, listVerdicts, sendVerdict } from "./api.js";
import { element, icon } from "./dom.js";

const WORDS = {
  up: { icon: "thumb-up", label: (n) => `Source ${n} supports the answer` },
  down: { icon: "thumb-down", label: (n) => `Source ${n} does not support the answer` },
};

const kept = new Map();
let asked = null;

/** Asks once for what was said before; without an answer the thumbs begin unpressed. */
function whatWasSaid() {
  asked ??= listVerdicts().then(
    ({ feedback }) => feedback.forEach((one) => remember(one.turn_id, one.n, kept.get(key(one.turn_id, one.n)) ?? one.verdict)),
    () => {},
  );
  return asked;
}

const key = (turnId, n) => `${n} ${turnId}`;

function remember(turnId, n, verdict) {
  if (verdict === null) kept.delete(key(turnId, n));
  else kept.set(key(turnId, n), verdict);
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

  async function press(verdict) {
    const before = kept.get(key(turnId, n)) ?? null;
    const wanted = before === verdict ? null : verdict;
    remember(turnId, n, wanted);
    show();
    try {
      if (wanted === null) await deleteVerdict(turnId, n);
      else await sendVerdict(turnId, n, wanted);
      said.textContent = wanted === null ? "Taken back." : "Thank you.";
    } catch (error) {
      remember(turnId, n, before);
      show();
      said.textContent = `Not kept: ${error.message}`;
    }
  }

  show();
  whatWasSaid().then(show);
  return element("span", { class: "verdicts" }, ...thumbs.map(([, thumb]) => thumb), said);
}
