"""The row that a run of kills prints, and the table of all rows."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from tests.chaos.ledger import Entry

TAKEOVER_S = 8.0
"""Within this an answer is to go on; reported, not asserted: a busy machine is no fault of the protocol."""


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
    pending: int
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
        pending=sum(ending.get("stored") == "pending" for ending in endings),
        degraded=sum(bool(ending.get("degraded")) for ending in endings),
        worst_pause_s=round(max((view.worst_pause_s for view in views), default=0.0), 2),
        took_s=round(took_s, 1),
    )


def table(rows: Sequence[KillRow]) -> str:
    """Return rows as a table for the terminal."""
    names = [field.name for field in fields(KillRow)]
    lines: list[list[Any]] = [[name.replace("_", " ") for name in names]]
    lines += [[getattr(row, name) for name in names] for row in rows]
    widths = [max(len(str(line[place])) for line in lines) for place in range(len(names))]
    text = "\n".join(
        "  ".join(str(cell).rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )
    late = [row.killed for row in rows if row.worst_pause_s > TAKEOVER_S]
    return text + (f"\nover {TAKEOVER_S:g} s: {', '.join(late)}" if late else "")
