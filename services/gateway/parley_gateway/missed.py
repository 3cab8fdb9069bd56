"""What the shared ledger was not told of while it did not answer: so much by name, beyond that everything."""

from collections.abc import Sequence

from parley_contracts.usage import ScopeTotal
from parley_limits import Claim, OpenTurn

MOST_MISSED = 100


class Missed:
    """One slow answer costs what it was about; a ledger that was away for longer is counted anew."""

    def __init__(self) -> None:
        self.is_everything = False
        self.settled: dict[str, Sequence[ScopeTotal]] = {}
        self._claims: dict[str, Claim] = {}

    def __bool__(self) -> bool:
        return self.is_everything or bool(self.settled) or bool(self._claims)

    @property
    def open_turns(self) -> list[OpenTurn]:
        """What was let in meanwhile."""
        return [_open_turn(claim) for claim in self._claims.values()]

    def reserve(self, claim: Claim) -> None:
        """Note a turn that was let in elsewhere."""
        self._claims[claim.turn_id] = claim
        self._bound()

    def settle(self, turn_id: str, totals: Sequence[ScopeTotal]) -> None:
        """Note what was spent."""
        self.settled[turn_id] = totals
        self._bound()

    def release(self, turn_id: str) -> None:
        """Forget a turn that never ran."""
        self._claims.pop(turn_id, None)

    def lose(self) -> None:
        """Note that it is not known what was missed."""
        self.is_everything = True
        self.settled, self._claims = {}, {}

    def add(self, other: "Missed") -> None:
        """Note what was missed before."""
        self.settled = other.settled | self.settled
        self._claims = other._claims | self._claims
        if other.is_everything:
            self.lose()
        self._bound()

    def _bound(self) -> None:
        if self.is_everything or len(self.settled) + len(self._claims) > MOST_MISSED:
            self.lose()


def _open_turn(claim: Claim) -> OpenTurn:
    places = tuple(quota.place for quota in claim.quotas)
    return OpenTurn(claim.turn_id, claim.turn_id, claim.amount, places, claim.lasts_ms)
