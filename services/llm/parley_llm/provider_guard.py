"""What stands before the calls of one provider: how many there may be at once, and a circuit breaker."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from math import ceil

from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.circuit import Circuit, Circuits

MOST_RESTING = 1000
"""Names of models that are remembered to have asked for a rest; the oldest go first."""


def is_outage(error: ParleyError) -> bool:
    """Return whether a call's error says that its provider fails: it is silent, or breaks off.

    A refused connection costs nobody time, and a refused request is the caller's: neither counts.
    """
    if error.code is ErrorCode.TIMEOUT:
        return True
    return error.code is ErrorCode.UPSTREAM_FAILED and error.retryable


class ProviderGuard:
    """Counts the calls of a provider from this process, and those of them that fail in a row.

    A model that wants to be asked later (429 with Retry-After) is not asked before then, as long as another
    one is there to be asked.
    """

    def __init__(
        self, slots: int | None, circuit: Circuit, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots = None if slots is None else asyncio.Semaphore(slots)
        self._circuit = circuit
        self._clock = clock
        self._rested_s: OrderedDict[str, float] = OrderedDict()

    @asynccontextmanager
    async def passing(self, model_id: str, *, has_others: bool) -> AsyncGenerator[None]:
        """Let the call in the body through. Where nobody else can be asked it waits for a free slot.

        Raises:
            ParleyError: `overloaded` or `unavailable` at once for a call that is better made elsewhere, or
                what the body raises.
        """
        if has_others:
            self._require_free(model_id)
        if self._slots is None:
            yield
            return
        async with self._slots:
            with self._circuit.passing(0):
                try:
                    yield
                except ParleyError as error:
                    self._note(model_id, error)
                    raise

    def note_answering(self) -> None:
        """Say that a call has its first piece: nobody waits for its end to be asked as well."""
        self._circuit.note_answering()

    def _require_free(self, model_id: str) -> None:
        left_s = self._rested_s.get(model_id, 0) - self._clock()
        if left_s > 0:
            message = "The model wants to be asked later."
            raise ParleyError(ErrorCode.OVERLOADED, message, retry_after_s=ceil(left_s))
        if self._slots is not None and self._slots.locked():
            raise ParleyError(ErrorCode.OVERLOADED, "The provider has as many calls as it may.")

    def _note(self, model_id: str, error: ParleyError) -> None:
        if error.code is ErrorCode.OVERLOADED and error.retry_after_s is not None:
            self._rested_s[model_id] = self._clock() + error.retry_after_s
            self._rested_s.move_to_end(model_id)
            if len(self._rested_s) > MOST_RESTING:
                self._rested_s.popitem(last=False)


class ProviderGuards:
    """The guards of a process. A pool without a limit, such as that of quoted answers, has none."""

    def __init__(self, slots: Mapping[str, int] | None = None, circuits: Circuits | None = None) -> None:
        self._slots = slots or {}
        self._circuits = circuits or Circuits()
        self._by_pool: dict[str, ProviderGuard] = {}

    def of(self, pool: str) -> ProviderGuard:
        """Return the guard of a provider, the same for everybody in the process."""
        if (guard := self._by_pool.get(pool)) is None:
            circuit = self._circuits.to(f"{pool}-answers", is_fault=is_outage)
            guard = self._by_pool[pool] = ProviderGuard(self._slots.get(pool), circuit)
        return guard
