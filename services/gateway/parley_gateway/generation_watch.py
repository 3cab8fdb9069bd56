"""How a runner follows the generation of its turn: only the end of it, every delta passes unparsed."""

import asyncio
import time

from parley_contracts.turn_events import LOG_EVENT, TERMINAL_TYPES, GenerationFinished, frame_type
from parley_contracts.turns import TurnRef
from parley_messaging.turn_watch import TurnWatch, TurnWatches

_DELTAS = frozenset({"text_delta", "reasoning_delta", "tool_call_delta"})
"""What a model writes."""


class GenerationWatch:
    """Hears a turn's log until `generation_finished` or a terminal event stands in it."""

    def __init__(self, watches: TurnWatches, ref: TurnRef) -> None:
        self._watches = watches
        self._ref = ref
        self._watch: TurnWatch | None = None
        self._ended = asyncio.Event()
        self._finished: GenerationFinished | None = None
        self._forgotten_seq = 0
        self.last_seq = 0
        self.first_delta_ms: float | None = None

    async def open(self, *, is_new: bool = False) -> None:
        """Begin to hear; `is_new` promises that nothing of the turn is published yet."""
        if is_new and self._ref.home == self._watches.home:
            self._watch = self._watches.open_new(self._ref.turn_id, self._hear)
        else:
            self._watch = await self._watches.open(self._ref.home, self._ref.turn_id, 0, self._hear)

    async def close(self) -> None:
        """Stop hearing."""
        if self._watch is not None:
            await self._watches.close(self._watch)

    def _hear(self, frame: bytes, seq: int) -> None:
        self.last_seq = seq
        kind = frame_type(frame)
        if kind in _DELTAS:
            if self.first_delta_ms is None:
                self.first_delta_ms = time.time() * 1000
        elif kind == "generation_finished" and seq > self._forgotten_seq:
            event = LOG_EVENT.validate_json(frame)
            self._finished = event if isinstance(event, GenerationFinished) else None
            self._ended.set()
        elif kind == "epoch_started":
            self._finished = None
            self._ended.clear()
        elif kind in TERMINAL_TYPES:
            self._ended.set()

    def forget(self, finished: GenerationFinished) -> None:
        """Wait for a later end: another worker has the pen already, or is to have it."""
        self._forgotten_seq = finished.seq
        if self._finished is not None and self._finished.seq <= finished.seq:
            self._finished = None
            self._ended.clear()

    async def finished(self) -> GenerationFinished | None:
        """Wait for the end: the generation's, or None when somebody else has ended the turn."""
        await self._ended.wait()
        return self._finished
