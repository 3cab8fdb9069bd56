"""What the log of a turn says so far: the text that stands, the last event, a finished generation."""

import asyncio
from dataclasses import dataclass, field

from parley_contracts import subjects
from parley_contracts.turn_events import (
    ContextReady,
    EpochStarted,
    GenerationFinished,
    ReasoningDelta,
    TextDelta,
    ToolCalled,
    ToolFinished,
    known_event,
)

from parley_messaging.bus import Bus
from parley_messaging.turn_watch import RETRY_S, TurnWatch

HOLE_S = 3.0
"""How long a hole is waited for: who reads a log to go on from it comes after a writer that may be dead."""


@dataclass(slots=True)
class LoggedRound:
    """A generation that ended with calls of tools, and what has come of them."""

    finished: GenerationFinished
    reasoning_chars: int = 0
    """Of the whole turn, up to its end."""
    called: set[str] = field(default_factory=set[str])
    results: dict[str, ToolFinished] = field(default_factory=dict[str, ToolFinished])


@dataclass(slots=True)
class TurnLog:
    """The contiguous prefix of a turn's log, folded event by event."""

    last_seq: int = 0
    parts: list[str] = field(default_factory=list[str])
    reasoning_chars: int = 0
    context: ContextReady | None = None
    finished: GenerationFinished | None = None
    rounds: list[LoggedRound] = field(default_factory=list[LoggedRound])
    """Those of whose calls something stands; `asked` is one of which nothing does yet."""
    asked: GenerationFinished | None = None

    @property
    def text(self) -> str:
        """The answer as it stands."""
        return "".join(self.parts)

    @property
    def earlier(self) -> tuple[GenerationFinished, ...]:
        """The ends of generations before the one that stands or is written: all of them called tools."""
        ended = tuple(one.finished for one in self.rounds)
        return (*ended, self.asked) if self.asked is not None and self.finished is None else ended

    @property
    def earlier_reasoning_chars(self) -> int:
        """How much was thought by the generations whose calls stand."""
        return self.rounds[-1].reasoning_chars if self.rounds else 0

    def take(self, frame: bytes, seq: int) -> None:
        """Fold the next frame in."""
        self.last_seq = seq
        match known_event(frame):
            case EpochStarted() as started:
                self.parts = [self.text[: started.keep_chars]]
                self.reasoning_chars = min(self.reasoning_chars, started.keep_reasoning_chars)
                self.finished = None
            case TextDelta(text=text):
                self.parts.append(text)
            case ReasoningDelta(text=text):
                self.reasoning_chars += len(text)
            case ContextReady() as context:
                self.context = context
            case GenerationFinished() as finished:
                self.finished = finished
                # A worker that repeats the end of another says the same once more.
                self.asked = finished if finished.tool_calls else None
            case ToolCalled(call_id=call_id):
                self._round.called.add(call_id)
            case ToolFinished() as result:
                self._round.results[result.call_id] = result
            case _:
                return

    @property
    def _round(self) -> LoggedRound:
        """The round that a tool's event belongs to: the first begins it."""
        if self.asked is not None:
            self.rounds.append(LoggedRound(self.asked, self.reasoning_chars))
            self.asked = None
        return self.rounds[-1]


async def read_turn_log(bus: Bus, home: str, turn_id: str) -> TurnLog:
    """Return what the log of a turn says up to its first lasting hole; empty when it has none.

    Raises:
        ParleyError: `unavailable` when the log cannot be read now.
    """
    log = TurnLog()
    watch = TurnWatch(subjects.turn_events(home, turn_id), 0, log.take)
    loop = asyncio.get_running_loop()
    until_s: float | None = None
    while not await watch.read_on(bus):
        until_s = until_s or loop.time() + HOLE_S
        if loop.time() > until_s:
            break
        await asyncio.sleep(RETRY_S)
    return log
