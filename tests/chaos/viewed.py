"""One turn as a client sees it, over as many sockets as it takes: what came, and what should not have."""

from dataclasses import dataclass, field
from typing import Any

from parley_contracts.turn_events import TERMINAL_TYPES
from parley_contracts.turns import EPOCH_SPAN

from tests.folded_text import folded

Frame = dict[str, Any]


@dataclass(eq=False)
class Viewed:
    """What one viewer has of a turn; it counts breaches of the protocol and does not raise."""

    turn_id: str
    start: Frame
    conversation_id: str = ""
    text: str = ""
    seqs: list[int] = field(default_factory=list[int])
    endings: list[Frame] = field(default_factory=list[Frame])
    gaps: int = 0
    repeats: int = 0
    worst_pause_s: float = 0.0
    faults: list[str] = field(default_factory=list[str])
    _heard_s: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether the client was told that its turn is durable."""
        return bool(self.conversation_id)

    @property
    def is_over(self) -> bool:
        """Whether a terminal event has come."""
        return bool(self.endings)

    @property
    def last_seq(self) -> int:
        """What a resume goes on after."""
        return self.seqs[-1] if self.seqs else 0

    @property
    def words(self) -> int:
        """How many words of the answer are seen."""
        return self.text.count(" ")

    def request(self) -> Frame:
        """Return the frame that a client sends on a new socket: the start again, or a resume."""
        if self.is_accepted:
            return {"type": "resume_turn", "turn_id": self.turn_id, "after_seq": self.last_seq}
        return self.start

    def accept(self, frame: Frame, now_s: float) -> None:
        """Take `turn_accepted`, which comes again on each socket."""
        if self.is_accepted and self.conversation_id != frame["conversation_id"]:
            self.faults.append(f"accepted in another conversation: {frame}")
        if not self.is_accepted:
            self._heard_s = now_s
        self.conversation_id = frame["conversation_id"]

    def take(self, frame: Frame, now_s: float) -> None:
        """Take the next event of the turn."""
        self.worst_pause_s = max(self.worst_pause_s, now_s - self._heard_s)
        self._heard_s = now_s
        if self.is_over:
            self.faults.append(f"{frame['type']} after the end")
        if frame["type"] == "sync":
            self.faults.append("a sync although the log is there")
            return
        if "seq" not in frame:
            # Its place in a queue, say: no event of the log.
            return
        self._count(frame)
        self.seqs.append(frame["seq"])
        self.text = folded(self.text, frame)
        if frame["type"] in TERMINAL_TYPES:
            self.endings.append(frame)

    def _count(self, frame: Frame) -> None:
        seq, last = frame["seq"], self.last_seq
        if seq <= last:
            self.repeats += 1
        elif seq % EPOCH_SPAN:
            self.gaps += seq != last + 1
        else:
            # `generation_finished`, which viewers are not sent, may stand between.
            self.gaps += frame.get("follows", 0) > last + 1
