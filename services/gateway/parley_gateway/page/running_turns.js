/** Turns that have not ended, kept in localStorage so that a reload, or another tab, goes on with them. */

const PREFIX = "parley.turn.";
const KEEP_MS = 24 * 3600 * 1000;

/** Keeps a turn until `forgetTurn`; storage that is full or forbidden only costs the survival of a reload. */
export function keepTurn(turn) {
  const record = {
    turn_id: turn.turnId,
    conversation_id: turn.conversationId,
    question: turn.question,
    request: turn.request,
    is_accepted: turn.isAccepted,
    started_at_ms: turn.startedAtMs,
    after_seq: 0,
  };
  try {
    localStorage.setItem(PREFIX + turn.turnId, JSON.stringify(record));
  } catch (error) {
    console.warn("The running turn could not be kept", error);
  }
}

export function forgetTurn(turnId) {
  localStorage.removeItem(PREFIX + turnId);
}

/** Returns the kept turns, oldest first; what is out of date or unreadable is removed. */
export function keptTurns() {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  const records = [];
  for (const key of keys) {
    const record = readRecord(key);
    if (record && Date.now() - record.started_at_ms < KEEP_MS) records.push(record);
    else localStorage.removeItem(key);
  }
  return records.sort((a, b) => a.started_at_ms - b.started_at_ms);
}

function readRecord(key) {
  try {
    const record = JSON.parse(localStorage.getItem(key));
    return typeof record?.turn_id === "string" && typeof record.question === "string" ? record : null;
  } catch {
    return null;
  }
}
