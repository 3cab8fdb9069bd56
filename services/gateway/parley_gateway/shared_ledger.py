"""The ledger of quotas that gateways share, and this gateway's own for its share while that is away."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from parley_contracts.errors import ErrorCode, ParleyError
from parley_limits import Buckets, Ledger, LedgerAwayError, MemoryLedger
from parley_messaging.circuit import Circuit

# Any failure counts, also one that cost no time.
ANY_FAILURE = 0.0

Found = TypeVar("Found")


class SharedLedger:
    """Says which ledger is to be asked, and whether the shared one has to be counted anew."""

    def __init__(
        self, shared: Ledger, circuit: Circuit, buckets: Buckets, *, share: Callable[[], float]
    ) -> None:
        self.shared = shared
        self._circuit = circuit
        self._buckets = buckets
        self._share = share
        self.own = MemoryLedger(buckets, share=share)
        # What this gateway has let in or ended meanwhile, nobody has told the shared one.
        self.has_missed = False

    async def asked(self, ask: Callable[[], Awaitable[Found]]) -> Found:
        """Return what the shared ledger answers; LedgerAwayError at once while its circuit is open."""
        try:
            with self._circuit.passing(ANY_FAILURE):
                return await ask()
        except ParleyError as error:
            if error.code is not ErrorCode.UNAVAILABLE:
                raise
            if not self.has_missed:
                self.has_missed = True
                self.own = MemoryLedger(self._buckets, share=self._share)
            raise LedgerAwayError(error.message) from error
