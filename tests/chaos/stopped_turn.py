"""One turn that is stopped: how its stop was sent, what its viewer saw, and what the upstream did."""

import time
from dataclasses import dataclass, field

from tests.chaos.stored_answers import stored_messages
from tests.fakes.ollama_server import OllamaFake
from tests.integration.chat_client import ChatClient
from tests.integration.stack import Stack
from tests.integration.turn_view import TurnView

ABORT_MS = 500.0


@dataclass(eq=False)
class StoppedTurn:
    """A turn, and the stop of it. Times are Unix milliseconds."""

    moment: str
    question: str
    turn: TurnView
    gateway: int
    stopped_ms: float = 0.0
    stored_ms: float = 0.0
    calls: list[int] = field(default_factory=list[int])
    aborts: list[dict[str, float]] = field(default_factory=list[dict[str, float]])

    @property
    def is_cancelled(self) -> bool:
        return self.turn.ending["type"] == "turn_cancelled"

    @property
    def words(self) -> int:
        """How many words of the answer are kept."""
        return self.turn.text.count(" ")

    @property
    def abort_ms(self) -> float | None:
        """From the stop's sending to the upstream's noticing; None when no call was aborted."""
        return self.aborts[0]["at_ms"] - self.stopped_ms if self.aborts else None

    async def stop(self, chat: ChatClient) -> None:
        """Send the stop and wait until it is acknowledged."""
        is_first = not self.stopped_ms
        self.stopped_ms = self.stopped_ms or time.time() * 1000
        await chat.send({"type": "cancel_turn", "turn_id": self.turn.turn_id})
        await chat.frame_of("cancel_accepted", self.turn.turn_id)
        if is_first:
            self.stored_ms = time.time() * 1000

    def look_upstream(self, ollama: OllamaFake) -> None:
        """Note the calls that were made for this turn, and which of them were aborted."""
        self.calls = [call.number for call in ollama.calls if call.question.endswith(self.question)]
        self.aborts = [one for one in ollama.stats.aborted_streams if one["call"] in self.calls]

    async def faults(self, stack: Stack) -> list[str]:
        """Say what is wrong with the turn as others see it: on the other gateway, and where it is kept."""
        found: list[str] = []
        async with stack.chat(1 - self.gateway) as chat:
            again = TurnView(self.turn.turn_id)
            await chat.resume(again)
            await chat.until(lambda: again.is_over)
        self.turn.conversation_id = self.turn.conversation_id or again.conversation_id
        if self.turn.events and again.events != self.turn.events:
            found.append("another viewer sees another turn")
        if again.text != self.turn.text:
            found.append(f"viewers have {again.text[-30:]!r} and {self.turn.text[-30:]!r}")
        if self.is_cancelled and self.turn.ending["kept_chars"] != len(self.turn.text):
            found.append(f"kept_chars is {self.turn.ending['kept_chars']}")
        messages = await stored_messages(stack, self.turn.conversation_id)
        wanted = "cancelled" if self.is_cancelled else "completed"
        kept = [(one["role"], one["text"], one["outcome"]) for one in messages]
        if kept != [("user", self.question, None), ("assistant", self.turn.text, wanted)]:
            found.append(f"kept is {[(role, text[-30:], outcome) for role, text, outcome in kept]}")
        return [f"{self.moment}: {fault}" for fault in found]
