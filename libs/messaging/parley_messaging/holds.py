"""Redelivered does not mean dead: whoever holds a turn's job says so when asked."""

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.turns import HoldAnswer, HoldQuestion, PenRole

from parley_messaging.bus import Bus, Delivery
from parley_messaging.inboxes import is_inbox

ASK_TIMEOUT_S = 0.5
PAUSE_S = 0.1
RETURN_S = 1.5
"""So long after a return of the bus a holder may still be on its way back, and is asked again."""


class Holds:
    """The turns whose jobs this process holds in one role, and the question to everybody else."""

    def __init__(self, bus: Bus, holder: str, role: PenRole) -> None:
        self._bus = bus
        self._answer = HoldAnswer(holder=holder).model_dump_json().encode()
        self._role = role
        self._held: Counter[str] = Counter()
        self._returned_s = float("-inf")

    async def start(self) -> None:
        """Begin to answer."""
        self._bus.on_reconnect(self._note_return)
        await self._bus.subscribe(subjects.ALL_HOLDS, self._on_question)

    @contextmanager
    def hold(self, turn_id: str) -> Generator[None]:
        """Hold a turn's job while the body runs.

        It begins before a claim is sent, which may be won long before its sender learns of that.
        """
        self._held[turn_id] += 1
        try:
            yield
        finally:
            self._let_go(turn_id)

    async def is_held_by_another(self, turn_id: str) -> bool:
        """Return whether anybody else holds the turn's job in this role, in this process or another.

        To be asked by a holder of it. Who asks does not answer meanwhile: two who have both found a dead
        one's claim would take each other for him.
        """
        self._let_go(turn_id)
        try:
            while True:
                if await self._is_held(turn_id):
                    return True
                if not self._may_be_on_his_way:
                    return False
                await asyncio.sleep(PAUSE_S)
        finally:
            self._held[turn_id] += 1

    async def _is_held(self, turn_id: str) -> bool:
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

    @property
    def _may_be_on_his_way(self) -> bool:
        return asyncio.get_running_loop().time() < self._returned_s + RETURN_S

    def _note_return(self) -> None:
        self._returned_s = asyncio.get_running_loop().time()

    def _let_go(self, turn_id: str) -> None:
        self._held[turn_id] -= 1
        if not self._held[turn_id]:
            del self._held[turn_id]

    async def _on_question(self, delivery: Delivery) -> None:
        turn_id = subjects.parse_turn_hold(delivery.subject)
        if turn_id not in self._held or not is_inbox(delivery.reply):
            return
        if HoldQuestion.model_validate_json(delivery.data).role is self._role:
            await self._bus.publish(delivery.reply, self._answer)
