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
    known_event,
)

from parley_messaging.bus import Bus
from parley_messaging.turn_watch import RETRY_S, TurnWatch

HOLE_S = 3.0
"""How long a hole is waited for: who reads a log to go on from it comes after a writer that may be dead."""


@dataclass(slots=True)
class TurnLog:
    """The contiguous prefix of a turn's log, folded event by event."""

    last_seq: int = 0
    parts: list[str] = field(default_factory=list[str])
    reasoning_chars: int = 0
    context: ContextReady | None = None
    finished: GenerationFinished | None = None

    @property
    def text(self) -> str:
        """The answer as it stands."""
        return "".join(self.parts)

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
            case _:
                return


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
