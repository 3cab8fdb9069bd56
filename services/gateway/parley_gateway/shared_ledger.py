"""The ledger of quotas that gateways share, and this gateway's own for its share while that is away."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from parley_contracts.errors import ErrorCode, ParleyError
from parley_limits import Buckets, Ledger, LedgerAwayError, MemoryLedger
from parley_messaging.circuit import Circuit, CircuitState

from parley_gateway.missed import Missed

# Any failure counts, also one that cost no time.
ANY_FAILURE = 0.0

Found = TypeVar("Found")


class SharedLedger:
    """Says which ledger is to be asked, and what the shared one has to be told when it answers again."""

    def __init__(
        self, shared: Ledger, circuit: Circuit, buckets: Buckets, *, share: Callable[[], float]
    ) -> None:
        self.shared = shared
        self._circuit = circuit
        self._buckets = buckets
        self._share = share
        self.own = MemoryLedger(buckets, share=share)
        self.missed = Missed()
        self._is_away = False

    async def asked(self, ask: Callable[[], Awaitable[Found]]) -> Found:
        """Return what the shared ledger answers; LedgerAwayError at once while its circuit is open."""
        try:
            with self._circuit.passing(ANY_FAILURE):
                found = await ask()
        except ParleyError as error:
            if error.code is not ErrorCode.UNAVAILABLE:
                raise
            self._note_away()
            raise LedgerAwayError(error.message) from error
        self._is_away = False
        return found

    def _note_away(self) -> None:
        if not self._is_away:
            self._is_away = True
            self.own = MemoryLedger(self._buckets, share=self._share)
        if self._circuit.state is not CircuitState.CLOSED:
            # Gateways may have ended meanwhile that have let turns in, and nobody else knows of those.
            self.missed.lose()

    def take_missed(self) -> Missed:
        """Return what the shared ledger is to be told now."""
        missed, self.missed = self.missed, Missed()
        return missed
