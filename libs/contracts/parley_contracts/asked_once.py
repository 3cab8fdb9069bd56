"""Answers that are asked for once by all who want them at the same time, and remembered for a while."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from parley_contracts.errors import ParleyError

Name = TypeVar("Name", bound=Hashable)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Remembered(Generic[Answer]):
    answer: Answer
    until_s: float


class AskedOnce(Generic[Name, Answer]):
    """Remembers `most` answers; beyond it the one that was asked for longest ago is asked for again."""

    def __init__(self, most: int, *, clock: Callable[[], float] | None = None) -> None:
        self._most = most
        self._clock = clock
        self._remembered: OrderedDict[Name, _Remembered[Answer]] = OrderedDict()
        self._asking: dict[Name, asyncio.Future[Answer]] = {}
        self._changes = 0

    def __len__(self) -> int:
        return len(self._remembered)

    def __contains__(self, name: Name) -> bool:
        """Return whether an answer is remembered that still holds."""
        found = self._remembered.get(name)
        return found is not None and found.until_s > self._now_s()

    def _now_s(self) -> float:
        return time.monotonic() if self._clock is None else self._clock()

    async def find(self, name: Name, ask: Callable[[], Awaitable[tuple[Answer, float]]]) -> Answer:
        """Return what is remembered, or else what `ask` gives: an answer and for how long it holds."""
        while True:
            found = self._remembered.get(name)
            if found is not None and found.until_s > self._now_s():
                return found.answer
            asking = self._asking.get(name)
            if asking is None:
                return await self._ask(name, ask)
            await asyncio.wait([asking])
            if not asking.cancelled():
                return asking.result()

    async def _ask(self, name: Name, ask: Callable[[], Awaitable[tuple[Answer, float]]]) -> Answer:
        awaited = self._asking[name] = asyncio.get_running_loop().create_future()
        changes = self._changes
        try:
            answer, lasts_s = await ask()
            # What changed meanwhile may not have been known to who answered.
            if changes == self._changes:
                self._remember(name, answer, lasts_s)
            awaited.set_result(answer)
            return answer
        except ParleyError as error:
            awaited.set_exception(error)
            awaited.exception()  # nobody may have waited for it
            raise
        finally:
            awaited.cancel()
            del self._asking[name]

    def _remember(self, name: Name, answer: Answer, lasts_s: float) -> None:
        self._remembered[name] = _Remembered(answer, self._now_s() + lasts_s)
        self._remembered.move_to_end(name)
        if len(self._remembered) > self._most:
            self._remembered.popitem(last=False)

    def forget(self, name: Name) -> None:
        """Ask again for one; an answer that is under way is not remembered."""
        self._changes += 1
        self._remembered.pop(name, None)

    def forget_where(self, is_concerned: Callable[[Answer], bool]) -> None:
        """Ask again for those that a change concerns; answers that are under way are not remembered."""
        self._changes += 1
        for name in [name for name, one in self._remembered.items() if is_concerned(one.answer)]:
            del self._remembered[name]

    def forget_all(self) -> None:
        """Ask again for every one."""
        self._changes += 1
        self._remembered.clear()
