"""What a runner knows of the turn it runs."""

import time
from dataclasses import dataclass, field

from parley_contracts.citations import Citation
from parley_contracts.turns import StartTurn, TurnTimings
from parley_messaging.queues import WorkQueue


@dataclass(frozen=True, slots=True)
class SentJob:
    """A job in the queue of its pool; the worker who takes it claims the slot behind `base_slot`."""

    queue: WorkQueue
    stream_seq: int
    base_slot: int


@dataclass(slots=True)
class RunningTurn:
    """A turn, from its claim to its seal."""

    command: StartTurn
    epoch: int = 0
    last_seq: int = 0
    citations: tuple[Citation, ...] = ()
    is_searched: bool = False
    degraded: set[str] = field(default_factory=set[str])
    timings: TurnTimings = field(default_factory=TurnTimings)
    text: str = ""
    claims: dict[str, str] = field(default_factory=dict[str, str])
    """The header with the turn's own claims, which its job carries on."""
    sent: SentJob | None = None
    """Its job, once that is in the queue."""

    def since_ms(self) -> float:
        """Return the time since the turn was accepted, in milliseconds."""
        return round(time.time() * 1000 - self.command.accepted_at_ms, 1)

    def note(self, **timings: float | None) -> None:
        """Add to the turn's timings."""
        self.timings = self.timings.model_copy(update=timings)

    @property
    def left_s(self) -> float:
        """How long the turn may still take."""
        return max(0.0, self.command.deadline_ms / 1000 - time.time())
