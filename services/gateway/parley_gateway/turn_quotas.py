"""Quotas of turns: reserved at the door with the rate, in one round trip, and settled at the seal.

What was spent stands in the SQL of accounts and what is under way in the queue of turns; the ledger is
counted anew from both whenever it was lost.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import Seal, StartTurn
from parley_contracts.usage import MOST_ASKED, ReadTotals, ScopeTotal, SpentPlace, UsageTotals, span_of
from parley_limits import Claim, LedgerAwayError, OpenTurn, Outcome, Reserved, Take
from parley_limits.quotas import Place
from parley_messaging import Bus
from parley_messaging.acting import acting_for, system_of
from parley_messaging.circuit import Circuit
from parley_messaging.queues import TURNS
from pydantic import ValidationError

from parley_gateway.shared_ledger import SharedLedger
from parley_gateway.spending import Spending

log = logging.getLogger("parley.gateway")

ASK_S = 2.0
RESERVE_S = 8.0
"""How long a turn waits at the door for what was spent: for two askings of accounts and what is before it."""
PLACES_AT_ONCE = 100
"""What one asking may name."""
TELL_EVERY_S = 5.0
"""How long at most the shared ledger goes without what it was not told, after it answers again."""
TRIES = 6
"""Somebody else may empty the ledger, or let a reservation expire, between two of them."""


class Filled(Protocol):
    """A ledger that is told what it does not know."""

    async def begin(self, turns: Sequence[OpenTurn]) -> None: ...

    async def load(self, totals: Sequence[ScopeTotal]) -> None: ...


class _Judged:
    """The shared ledger behind its circuit."""

    def __init__(self, ledger: SharedLedger) -> None:
        self._ask = ledger.asked
        self._shared = ledger.shared

    async def reserve(self, takes: Sequence[Take], claim: Claim) -> Reserved:
        return await self._ask(lambda: self._shared.reserve(takes, claim))

    async def prove(self) -> None:
        await self._ask(self._shared.prove)

    async def adopt(self, turns: Sequence[OpenTurn]) -> None:
        await self._ask(lambda: self._shared.adopt(turns))

    async def begin(self, turns: Sequence[OpenTurn]) -> None:
        await self._ask(lambda: self._shared.begin(turns))

    async def load(self, totals: Sequence[ScopeTotal]) -> None:
        await self._ask(lambda: self._shared.load(totals))

    async def settle(self, turn_id: str, totals: Sequence[ScopeTotal]) -> None:
        await self._ask(lambda: self._shared.settle(turn_id, totals))

    async def release(self, claim: Claim) -> None:
        await self._ask(lambda: self._shared.release(claim))


class _Filling:
    """What one ledger does not know, told to it by one turn for all that wait."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.begun = 0
        self._wanted: dict[Place, None] = {}

    def want(self, places: Sequence[Place]) -> None:
        self._wanted |= dict.fromkeys(places)

    def take(self, places: Sequence[Place]) -> tuple[Place, ...]:
        """Return what is to be told now, these places first; nothing when somebody has told them."""
        if not any(place in self._wanted for place in places):
            return ()
        first = [*(place for place in places if place in self._wanted), *self._wanted]
        batch = tuple(dict.fromkeys(first))[:PLACES_AT_ONCE]
        for place in batch:
            del self._wanted[place]
        return batch


class TurnQuotas:
    """Counts what turns spend."""

    def __init__(self, bus: Bus, ledger: SharedLedger, spending: Spending, recording: Circuit) -> None:
        self._bus = bus
        self._ledger = ledger
        self._recording = recording
        self._filling_shared = _Filling()
        self._filling_own = _Filling()
        self._catching_up = asyncio.Lock()
        self.spending = spending
        self.exceeded = 0

    async def reserve(self, takes: Sequence[Take], claim: Claim) -> Reserved:
        """Take from the buckets and reserve in the quotas, or neither.

        Raises:
            ParleyError: `quota_exceeded`; `unavailable` when nobody can tell what was spent.
        """
        try:
            async with asyncio.timeout(RESERVE_S):
                return await self._reserve(takes, claim)
        except TimeoutError as error:
            raise _untold() from error

    async def _reserve(self, takes: Sequence[Take], claim: Claim) -> Reserved:
        try:
            return await self._reserve_shared(takes, claim)
        except LedgerAwayError:
            own = self._ledger.own
            found = await self._settled(own, lambda: own.reserve(takes, claim), self._filling_own)
            if found.outcome is Outcome.RESERVED:
                self._ledger.missed.reserve(claim)
            return found

    async def _reserve_shared(self, takes: Sequence[Take], claim: Claim) -> Reserved:
        shared = _Judged(self._ledger)
        if self._ledger.missed or self._catching_up.locked():
            await self._catch_up(shared)
        return await self._settled(shared, lambda: shared.reserve(takes, claim), self._filling_shared)

    async def run(self) -> None:
        """Tell the shared ledger what it has missed, also where no turn comes; until cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            if not self._ledger.missed:
                continue
            try:
                async with asyncio.timeout(RESERVE_S):
                    await self._catch_up(_Judged(self._ledger))
            except (ParleyError, TimeoutError) as error:
                log.info("what Redis has missed cannot be told yet", extra={"error": repr(error)})
            except Exception:
                log.exception("what Redis has missed cannot be told")

    async def _catch_up(self, shared: _Judged) -> None:
        """Tell the shared ledger what it was not told; where that is not known it is counted anew."""
        async with self._catching_up:
            missed, is_told = self._ledger.take_missed(), False
            try:
                if missed.is_everything:
                    await self._begin_anew(shared)
                for turn_id, totals in missed.settled.items():
                    await shared.settle(turn_id, totals)
                if turns := missed.open_turns:
                    await shared.adopt(turns)
                is_told = True
            finally:
                if not is_told:
                    self._ledger.missed.add(missed)

    async def _begin_anew(self, shared: _Judged) -> None:
        """Count anew, also what others go by: they do so undisturbed until all of it is known."""
        # Nobody reads the queue of turns in vain while Redis is away.
        await shared.prove()
        async with self._filling_shared.lock:
            await shared.begin(await self._open_turns())
            self._filling_shared.begun += 1

    async def _settled(
        self, ledger: Filled, reserve: Callable[[], Awaitable[Reserved]], filling: _Filling
    ) -> Reserved:
        """Return what became of a claim; what is not known for it is told to the ledger."""
        for _ in range(TRIES):
            begun = filling.begun
            found = await reserve()
            if found.outcome is Outcome.EXCEEDED:
                self.exceeded += 1
                raise _exceeded(found.places)
            if found.outcome is Outcome.LOST:
                await self._begin(ledger, filling, begun)
            elif found.outcome is Outcome.COLD:
                await self._load(ledger, filling, found.places)
            else:
                return found
        raise _untold()

    async def _begin(self, ledger: Filled, filling: _Filling, begun: int) -> None:
        """Tell a ledger that was emptied which turns are open, unless somebody has done so meanwhile."""
        async with filling.lock:
            if begun == filling.begun:
                await ledger.begin(await self._open_turns())
                filling.begun += 1

    async def _load(self, ledger: Filled, filling: _Filling, places: Sequence[Place]) -> None:
        """Tell a ledger what was spent in these places, and in those that others wait for."""
        filling.want(places)
        async with filling.lock:
            if batch := filling.take(places):
                await ledger.load(await self._totals(batch))

    async def _totals(self, places: Sequence[Place]) -> tuple[ScopeTotal, ...]:
        request = ReadTotals(places=tuple(SpentPlace(scope=scope, period=period) for scope, period in places))
        return (await self._ask(request)).totals

    async def _ask(self, request: ReadTotals) -> UsageTotals:
        # Behind a circuit: with accounts away, turns are refused at once instead of one after the other.
        with self._recording.passing(ASK_S):
            return await self._bus.request(
                subjects.ACCOUNTS_READ_TOTALS, request, UsageTotals, timeout_s=ASK_S
            )

    async def _open_turns(self) -> list[OpenTurn]:
        """Return the turns that are accepted and not counted yet: they stand in their queue until then."""
        # Every sum is read anew behind this, which accounts alone can tell: without it nothing is begun.
        await self._ask(ReadTotals())
        turns: dict[str, OpenTurn] = {}
        seq = 1
        while (
            stored := await self._bus.next_stored(TURNS.stream, subjects.ALL_TURN_STARTS, seq)
        ) is not None:
            seq = stored.stream_seq + 1
            try:
                turn = self.spending.open_turn(StartTurn.model_validate_json(stored.data))
            except ValidationError:
                continue  # whoever runs it ends it as what cannot be read
            turns[turn.name] = turn
        names = list(turns)
        for at in range(0, len(names), MOST_ASKED):
            request = ReadTotals(turns=tuple(names[at : at + MOST_ASKED]))
            for name in (await self._ask(request)).recorded:
                turns.pop(name, None)
        log.info("what turns have reserved is counted anew", extra={"turns": len(turns)})
        return list(turns.values())

    async def release(self, claim: Claim) -> None:
        """Give back what a turn has reserved that will not run."""
        await self._ledger.own.release(claim)
        # Behind whoever is just telling of it: what is told afterwards would stand.
        async with self._catching_up:
            self._ledger.missed.release(claim.turn_id)
            with suppress(LedgerAwayError):  # it expires
                await _Judged(self._ledger).release(claim)

    async def record(self, seal: Seal) -> bool:
        """Count what a sealed turn has spent, once; False when that could not be done now."""
        request = self.spending.record(seal)
        try:
            with acting_for(system_of(request.owner_id)), self._recording.passing(ASK_S):
                found = await self._bus.request(
                    subjects.ACCOUNTS_RECORD_USAGE, request, UsageTotals, timeout_s=ASK_S
                )
        except ParleyError as error:
            log.warning("a turn is not counted yet", extra={"code": error.code})
            return False
        await self._ledger.own.settle(request.turn_id, found.totals)
        try:
            await _Judged(self._ledger).settle(request.turn_id, found.totals)
        except LedgerAwayError:
            self._ledger.missed.settle(request.turn_id, found.totals)
        return True


def _untold() -> ParleyError:
    return ParleyError(ErrorCode.UNAVAILABLE, "What was spent cannot be told now.")


def _exceeded(places: Sequence[Place]) -> ParleyError:
    """Return the refusal of a turn whose quotas in these places are used up."""
    scope, period = max(places, key=lambda place: _begins_again(place[1]))
    whose = {"bot": "the bot's", "bots_of": "the owner's bots'"}.get(scope.partition(":")[0], "your")
    wait_s = max(1, int((_begins_again(period) - datetime.now(UTC)).total_seconds()))
    message = f"{whose.capitalize()} quota of this {span_of(period)} is used up."
    return ParleyError(ErrorCode.QUOTA_EXCEEDED, message, retry_after_s=wait_s)


def _begins_again(period: str) -> datetime:
    """Return when the period after a day or a month begins."""
    if span_of(period) == "day":
        return datetime.fromisoformat(period).replace(tzinfo=UTC) + timedelta(days=1)
    year, month = map(int, period.split("-"))
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
