"""A client that watches one turn, comes back when its gateway goes, and checks what it is handed."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from parley_contracts.turn_events import TERMINAL_TYPES
from parley_contracts.turns import EPOCH_SPAN
from parley_messaging.turn_watch import TurnWatch

from tests.folded_text import folded


@dataclass(eq=False)
class Viewer:
    """What a client has been handed of a turn, folded as the chat page folds it."""

    name: str
    turn: str
    after_seq: int = 0
    text: str = ""
    terminal: str = ""
    faults: list[str] = field(default_factory=list[str])
    watch: TurnWatch | None = None
    began_s: float = 0.0
    ended_s: float = 0.0
    _attempt: int = 0
    _handed_seq: int = 0
    _held: list[tuple[bytes, int]] | None = None

    def sink(self) -> Callable[[bytes, int], None]:
        """Return the sink of a new watch; what an earlier one still hands on is not taken.

        As a gateway's relay does, it holds frames back until the turn is accepted.
        """
        self._attempt += 1
        attempt = self._attempt
        self._handed_seq, self._held = self.after_seq, []

        def take(frame: bytes, seq: int) -> None:
            if attempt != self._attempt:
                return
            if self._held is None:
                self._take(json.loads(frame), seq)
            else:
                self._held.append((frame, seq))

        return take

    def accept(self, watch: TurnWatch) -> None:
        """Take what was held back, and from now on everything at once."""
        self.watch = watch
        held, self._held = self._held or [], None
        for frame, seq in held:
            self._take(json.loads(frame), seq)

    def _take(self, event: dict[str, Any], seq: int) -> None:
        before, self._handed_seq = self._handed_seq, seq
        if seq <= before:
            self.faults.append(f"{self.name}: seq {seq} after {before}")
        if seq % EPOCH_SPAN and seq != before + 1:
            self.faults.append(f"{self.name}: hole between {before} and {seq}")
        if event.get("follows", 0) > before:
            self.faults.append(f"{self.name}: {seq} follows {event['follows']}, and {before} was the last")
        if self.terminal:
            self.faults.append(f"{self.name}: {event['type']} {seq} after the end")
        if event["type"] == "generation_finished":
            # For runners only: a gateway's outbox does not relay it.
            return
        self.after_seq = seq
        self.text = folded(self.text, event)
        if event["type"] in TERMINAL_TYPES:
            self.terminal, self.ended_s = event["type"], asyncio.get_running_loop().time()
