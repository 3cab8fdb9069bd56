"""Redelivered does not mean dead: whoever holds a turn's job says so when asked."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.turns import HoldAnswer, HoldQuestion, PenRole

from parley_messaging.bus import Bus, Delivery

ASK_TIMEOUT_S = 0.5


class Holds:
    """The turns whose jobs this process holds in one role, and the question to everybody else."""

    def __init__(self, bus: Bus, holder: str, role: PenRole) -> None:
        self._bus = bus
        self._answer = HoldAnswer(holder=holder).model_dump_json().encode()
        self._role = role
        self._held: Counter[str] = Counter()

    async def start(self) -> None:
        """Begin to answer."""
        await self._bus.subscribe(subjects.ALL_HOLDS, self._on_question)

    @contextmanager
    def hold(self, turn_id: str) -> Generator[None]:
        """Hold a turn's job while the body runs."""
        self._held[turn_id] += 1
        try:
            yield
        finally:
            self._held[turn_id] -= 1
            if not self._held[turn_id]:
                del self._held[turn_id]

    async def is_held(self, turn_id: str) -> bool:
        """Return whether any process, this one too, holds the turn's job in this role."""
        if turn_id in self._held:
            return True
        try:
            await self._bus.request(
                subjects.turn_hold(turn_id),
                HoldQuestion(role=self._role),
                HoldAnswer,
                timeout_s=ASK_TIMEOUT_S,
            )
        except ParleyError:
            return False
        return True

    async def _on_question(self, delivery: Delivery) -> None:
        turn_id = subjects.parse_turn_hold(delivery.subject)
        if turn_id not in self._held or not delivery.reply:
            return
        if HoldQuestion.model_validate_json(delivery.data).role is self._role:
            await self._bus.publish(delivery.reply, self._answer)
