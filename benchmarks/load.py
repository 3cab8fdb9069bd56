"""What a relay benchmark sends: how many streams, how fast, and the very bytes of each frame."""

from dataclasses import dataclass

from parley_contracts.turn_events import EpochStarted, encode_event, text_delta_frame
from parley_contracts.turns import EPOCH_SPAN
from pydantic_core import to_json

END = "<end>"
"""The text of a stream's last delta, so that a receiver need not count."""


@dataclass(frozen=True, slots=True)
class Load:
    """A load's shape. `gap_ms` 0 sends batches of `batch` frames a stream as fast as they are taken."""

    name: str
    streams: int
    deltas: int
    gap_ms: float = 0
    batch: int = 10

    @property
    def frames(self) -> int:
        """All frames of a run: each stream's deltas and the event that opens its epoch."""
        return self.streams * (self.deltas + 1)


def opening_frame(turn_id: str, epoch: int, follows: int) -> bytes:
    """Return the frame that opens an epoch."""
    return encode_event(EpochStarted(seq=epoch * EPOCH_SPAN, follows=follows, turn_id=turn_id, keep_chars=0))


def delta_frames(turn_id: str, epoch: int, deltas: int) -> list[bytes]:
    """Return the deltas of one stream, about as long as a model's."""
    turn_id_json, first = to_json(turn_id), epoch * EPOCH_SPAN + 1
    frames = [text_delta_frame(turn_id_json, first + index, f" w{index}") for index in range(deltas - 1)]
    return [*frames, text_delta_frame(turn_id_json, first + deltas - 1, END)]
