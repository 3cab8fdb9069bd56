"""One turn of a sweep: where its process died, what came of it, and all that is not as it has to be."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from parley_contracts.turn_events import TERMINAL_TYPES, frame_type

from tests.chaos.nats_protocol import Operation
from tests.chaos.turn_record import TurnRecord
from tests.chaos.viewed import Viewed
from tests.fakes.ollama_server import Call


@dataclass(frozen=True)
class Outcome:
    """What there is of a turn besides its log.

    Attributes:
        messages: Role and text of what is stored.
        calls: What was asked of the upstream.
        told: How many stored events tell that the turn is finished.
        answer: What the turn has to say; whatever it says when empty.
    """

    messages: Sequence[tuple[str, str]]
    calls: Sequence[Call]
    told: int
    answer: str


@dataclass
class Death:
    """A turn in which the victim died at its message number `place`; it lives when there is none."""

    place: int
    withholds: bool = False
    counted: list[Operation] = field(default_factory=list[Operation])
    was_killed: bool = False
    terminals: int = 0
    stored: int = 0
    calls: int = 0
    gaps: int = 0
    repeats: int = 0
    worst_pause_s: float = 0.0
    faults: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        """Where it was."""
        at = f"{self.counted[-1].name} {self.counted[-1].subject}" if self.counted else "nothing"
        return f"{self.place} ({at}{', withheld' if self.withholds else ''})"

    @property
    def is_at_publish(self) -> bool:
        """Whether the victim died at a message that it sent, not at one that it got."""
        return self.was_killed and self.counted[-1].is_published

    def note_seen(self, view: Viewed) -> None:
        """Take over what the reader saw."""
        self.gaps, self.repeats, self.worst_pause_s = view.gaps, view.repeats, view.worst_pause_s
        self.faults += view.faults

    def judge(self, view: Viewed, records: Collection[TurnRecord], outcome: Outcome, *, victim: str) -> None:
        """Note everything that is not as it has to be; `victim` is the unique name of who was killed."""
        if len(records) != 1:
            self.faults.append(f"{len(records)} turns have a log")
            return
        [record] = records
        endings = [frame_type(frame) for frame in record.frames.values()]
        self.terminals = sum(ending in TERMINAL_TYPES for ending in endings)
        self.stored, self.calls = len(outcome.messages), len(outcome.calls)
        cut_off = record.broken_off({victim}) + record.asked_early({victim})
        allowed = 1 + (cut_off if self.was_killed else 0)
        finished_s = record.finished_at_s
        wanted = outcome.answer or view.text
        question = view.start["text"]
        found = {
            f"{record.seals} seals": record.seals != 1,
            f"{self.terminals} terminal events": self.terminals != 1,
            f"ended by {view.endings}": [one["type"] for one in view.endings] != ["turn_completed"],
            f"{view.gaps} gaps": view.gaps,
            f"{view.repeats} repeats": view.repeats,
            f"read {view.text!r}, not {wanted!r}": view.text.encode() != wanted.encode(),
            f"the log says {record.text()!r}, not {view.text!r}": record.text() != view.text,
            f"stored {outcome.messages}": list(outcome.messages)
            != [("user", question), ("assistant", view.text)],
            f"told of {outcome.told} times": outcome.told != 1,
            f"{self.calls} calls, {allowed} allowed": self.calls > allowed,
            "asked for again after it stood finished": finished_s is not None
            and any(call.at_s > finished_s for call in outcome.calls),
        }
        self.faults += [*record.faults, *(fault for fault, is_so in found.items() if is_so)]
