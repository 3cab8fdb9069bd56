"""The row that a run of kills prints, and the table of all rows."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.chaos.ledger import Entry
from tests.chaos.printed import print_table

TAKEOVER_S = 8.0
"""Within this an answer is to go on; reported, not asserted: a busy machine is no fault of the protocol."""

PROMISED = (
    "turns",
    "accepted",
    "completed",
    "failed",
    "cancelled",
    "user",
    "assistant",
    "gaps",
    "repeats",
    "worst_pause_s",
)
LEGEND_OF_PROMISED = """\
turns, accepted, completed, user and assistant (stored messages) are equal; failed, cancelled, gaps and
repeats (events that a viewer missed, or got twice) are 0. worst pause: the longest between two events
that a viewer got."""

HIT = (
    "open_at_kill",
    "runners_hit",
    "writers_hit",
    "calls",
    "continued",
    "broken_off",
    "reconnects",
    "stored_late",
    "degraded",
    "took_s",
)
LEGEND_OF_HIT = """\
open at kill: turns that had not ended when the kill came. runners, writers hit: those of them that
the killed process had claimed to run, or was writing. calls: to the model, at most turns + broken off
(answers whose writer was killed before their end), and one a turn whose worker died before its first
claim; continued: calls that went on from the text so far. reconnects: attempts of the clients after a
socket was lost. stored late: told as completed before memory had them; by now it has. degraded: answered
without a part that was away or late, such as documents. took: the whole scenario."""

Report = Callable[["KillRow"], None]


@dataclass(frozen=True)
class KillRow:
    """What one scenario came to."""

    killed: str
    turns: int
    open_at_kill: int
    accepted: int
    completed: int
    failed: int
    cancelled: int
    user: int
    assistant: int
    gaps: int
    repeats: int
    calls: int
    continued: int
    broken_off: int
    runners_hit: int
    writers_hit: int
    reconnects: int
    stored_late: int
    degraded: int
    worst_pause_s: float
    took_s: float


def row_of(
    name: str, entries: Sequence[Entry], *, open_at_kill: set[str], reconnects: int, took_s: float
) -> KillRow:
    """Add up the turns of a scenario."""
    views = [entry.viewed for entry in entries]
    endings = [ending for view in views for ending in view.endings]
    types = [ending["type"] for ending in endings]
    calls = [call for entry in entries for call in entry.calls]
    hit = [entry for entry in entries if entry.viewed.turn_id in open_at_kill]
    return KillRow(
        killed=name,
        turns=len(entries),
        open_at_kill=len(open_at_kill),
        accepted=sum(view.is_accepted for view in views),
        completed=types.count("turn_completed"),
        failed=types.count("turn_failed"),
        cancelled=types.count("turn_cancelled"),
        user=sum(entry.stored["user"] for entry in entries),
        assistant=sum(entry.stored["assistant"] for entry in entries),
        gaps=sum(entry.viewed.gaps + entry.missing for entry in entries),
        repeats=sum(entry.viewed.repeats for entry in entries),
        calls=len(calls),
        continued=sum(bool(call.prefix) for call in calls),
        broken_off=sum(entry.broken_off for entry in entries),
        runners_hit=sum(entry.record.has_lost_runner(entry.killed) for entry in hit),
        writers_hit=sum(entry.record.has_lost_writer(entry.killed) for entry in hit),
        reconnects=reconnects,
        stored_late=sum(ending.get("stored") == "pending" for ending in endings),
        degraded=sum(bool(ending.get("degraded")) for ending in endings),
        worst_pause_s=round(max((view.worst_pause_s for view in views), default=0.0), 2),
        took_s=round(took_s, 1),
    )


def _columns(rows: Sequence[KillRow], names: Sequence[str]) -> str:
    """Return some columns of the rows, under headings of as many lines as they have words."""
    headings = [name.replace("open_at", "open at").split("_", 1) for name in ("killed", *names)]
    cells: list[list[Any]] = [
        [heading[line].replace("_", " ") if line < len(heading) else "" for heading in headings]
        for line in range(2)
    ]
    cells += [[getattr(row, name) for name in ("killed", *names)] for row in rows]
    widths = [max(len(str(line[place])) for line in cells) for place in range(len(headings))]
    return "\n".join(
        "  ".join(str(cell).rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells
    )


def table(rows: Sequence[KillRow]) -> str:
    """Return rows as two tables for the terminal: what was promised, and what the kill had hit."""
    lines = [_columns(rows, PROMISED), LEGEND_OF_PROMISED, "", _columns(rows, HIT), LEGEND_OF_HIT]
    late = [row.killed for row in rows if row.worst_pause_s > TAKEOVER_S]
    if late:
        lines.append(f"paused over {TAKEOVER_S:g} s: {', '.join(late)}")
    return "\n".join(lines)


@contextmanager
def printed_table(title: str, victims: str) -> Generator[Report]:
    """Collect rows, and print their table at the end; `victims` says who they are."""
    rows: list[KillRow] = []
    yield rows.append
    print_table(title, table(rows), victims)
