"""What a viewer makes of a turn's frames by the rules of the protocol, and its complaints."""

from typing import Any

from parley_contracts.turn_events import TERMINAL_TYPES

from tests.folded_text import folded

Frame = dict[str, Any]


class TurnView:
    """One turn as one viewer sees it, over as many connections as it takes."""

    def __init__(self, turn_id: str) -> None:
        self.turn_id = turn_id
        self.text = ""
        self.last_seq = 0
        self.conversation_id = ""
        self.events: list[Frame] = []
        self.positions: list[int] = []

    def take(self, frame: Frame) -> None:
        """Take the next frame; AssertionError when the protocol does not allow it here."""
        if frame["type"] == "turn_accepted":
            self.conversation_id = frame["conversation_id"]
            return
        if frame["type"] == "queue_position":
            assert self.last_seq <= frame["after_seq"], f"{frame} after {self.last_seq}"
            self.positions.append(frame["position"])
            return
        assert frame["type"] not in ("sync", "generation_finished"), frame
        assert frame["seq"] > self.last_seq, f"{frame} after {self.last_seq}"
        assert not self.is_over, f"{frame} after {self.events[-1]}"
        self.last_seq = frame["seq"]
        self.events.append(frame)
        self.text = folded(self.text, frame)

    @property
    def types(self) -> list[str]:
        """The types of all events, in order."""
        return [event["type"] for event in self.events]

    @property
    def is_over(self) -> bool:
        """Whether the terminal event has come."""
        return bool(self.events) and self.events[-1]["type"] in TERMINAL_TYPES

    @property
    def ending(self) -> Frame:
        """The terminal event."""
        assert self.is_over, self.types
        return self.events[-1]

    def event(self, kind: str) -> Frame:
        """Return the one event of a type."""
        found = [event for event in self.events if event["type"] == kind]
        assert len(found) == 1, self.types
        return found[0]
