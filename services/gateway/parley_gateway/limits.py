"""What each request costs: buckets of a user, his key, a bot and an address, by the kind of request."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from parley_contracts.addresses import host_of
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_contracts.turns import StartTurn
from parley_limits import Buckets, Claim, Outcome, Rate, Standing, Take, Verdict, parse_rate

from parley_gateway.exceeded_quotas import QuotaExceededError
from parley_gateway.limit_settings import RATES, LimitSettings
from parley_gateway.networks import Networks
from parley_gateway.principal import Principal
from parley_gateway.spending import BotPayer
from parley_gateway.turn_quotas import TurnQuotas
from parley_gateway.visitor_tokens import VISITOR_START

MINUTE_S = 60


class Kind(StrEnum):
    """Kinds of requests, each with a bucket of its own for every user."""

    READS = "reads"
    WRITES = "writes"
    WORK = "work"
    TURNS = "turns"


@dataclass(slots=True)
class Asking:
    """The request at hand: where it comes from, and the buckets it was told of.

    Attributes:
        host: What its address counts as; None for one that is not limited.
        standings: The buckets that were asked for it, by the name of the limit.
    """

    host: str | None = None
    standings: dict[str, Standing] = field(default_factory=dict[str, Standing])


_ASKING: ContextVar[Asking | None] = ContextVar("parley_asking", default=None)


def asks(asking: Asking) -> None:
    """Do the rest of the current task's work for a request."""
    _ASKING.set(asking)


class Limits:
    """Takes from buckets what a request costs, or refuses it with `rate_limited`."""

    def __init__(self, settings: LimitSettings, buckets: Buckets, quotas: TurnQuotas | None = None) -> None:
        self.quotas = quotas
        self.refused: dict[str, int] = {}
        self._buckets = buckets
        self._rates: Mapping[str, Rate | None] = {
            name.removeprefix("gateway_limit_"): parse_rate(getattr(settings, name)) for name in RATES
        }
        self._owner_factor = settings.gateway_limit_owner_factor
        self._wrong_cost = settings.gateway_limit_wrong_cost
        self._unlimited = Networks(settings.gateway_unlimited_hosts)

    def host(self, address: str | None) -> str | None:
        """Return what an address counts as; None when it is not limited."""
        return None if address is not None and address in self._unlimited else host_of(address or "")

    # -- before it is known who asks ---------------------------------------------------------------

    async def enter(self, asking: Asking, name: str) -> None:
        """Let a request pass that proves itself by its body: `host_entrances` or `host_visitors`.

        Raises:
            ParleyError: `rate_limited`.
        """
        await self._require(self._of_host(asking.host, "host") + self._of_host(asking.host, name), asking)

    async def look_up(self) -> None:
        """Let credentials be looked up for the request at hand; raises as `enter` does."""
        asking = _ASKING.get()
        if asking is not None:
            await self._require(self._of_host(asking.host, "host_credentials"))

    async def note_wrong(self, asking: Asking, name: str) -> None:
        """Have an address pay for wrong credentials, as far as it still has something."""
        owed = self._of_host(asking.host, name, cost=self._wrong_cost, is_owed=True)
        if owed and self._wrong_cost:
            await self._buckets.take(owed)

    def _of_host(
        self, host: str | None, name: str, *, cost: int = 1, is_owed: bool = False
    ) -> tuple[Take, ...]:
        rate = self._rates[name]
        if host is None or rate is None:
            return ()
        return (Take(name, host, rate, cost, is_owed),)

    # -- afterwards --------------------------------------------------------------------------------

    async def ask(self, asking: Asking, principal: Principal, kind: Kind) -> None:
        """Let a request of somebody pass; raises as `enter` does. A turn is paid for at its door."""
        takes = self._of_host(asking.host, "host")
        if kind is not Kind.TURNS:
            takes += self._of_principal(principal, kind)
        await self._require(takes, asking)

    async def start_turn(
        self,
        principal: Principal,
        command: StartTurn,
        payer: BotPayer | None = None,
        find: Callable[[], Awaitable[object | None]] | None = None,
    ) -> Claim | None:
        """Let a turn begin, of a user or of a bot's visitor; return what it has reserved.

        A user who asks a bot pays for both: else a bot of his own would be his way round his limit. None
        where nothing is reserved: it has no quota, or it is the repeat of a turn that has reserved before,
        and that `find` still finds: who has his turns removed could have others run by their names.

        Raises:
            ParleyError: `rate_limited`, `quota_exceeded`, or `unavailable` when what was spent is not known.
        """
        is_visitor = principal.owner_id.startswith(VISITOR_START)
        takes = () if is_visitor else self._of_principal(principal, Kind.TURNS)
        turns = None if payer is None else payer.limits.turns_a_minute
        rate = Rate(turns, MINUTE_S) if turns else self._rates["bot_turns"]
        if command.bot is not None and rate is not None:
            takes += (Take("bot_turns", command.bot.id, rate),)
        claim = self.quotas and self.quotas.spending.claim(command, principal.role, payer)
        if claim is None or self.quotas is None:
            await self._require(takes, _ASKING.get())
            return None
        asking = _ASKING.get()
        try:
            found = await self.quotas.reserve(takes, claim)
            if found.outcome is Outcome.REPEAT:
                await self.repeat_turn(principal)
                if find is not None and await find() is None:
                    await self.quotas.release(claim)
                    found = await self.quotas.reserve(takes, claim)
        except QuotaExceededError as error:
            # What an owner lets his bots spend is no visitor's to know.
            if asking is not None and not is_visitor:
                asking.standings |= {one.name: one for one in error.standings}
            raise
        self._judge(found.verdict, asking)
        return claim if found.outcome is Outcome.RESERVED else None

    async def repeat_turn(self, principal: Principal) -> None:
        """Let somebody ask again for a turn that there is: that costs what a read does; raises as `enter`."""
        await self._require(self._of_principal(principal, Kind.READS), _ASKING.get())

    async def release(self, claim: Claim | None) -> None:
        """Give back what a turn has reserved that will not run."""
        if claim is not None and self.quotas is not None:
            await self.quotas.release(claim)

    def _of_principal(self, principal: Principal, kind: Kind) -> tuple[Take, ...]:
        takes: list[Take] = []
        if (rate := self._rate(kind.value, principal.role)) is not None:
            takes.append(Take(kind.value, principal.owner_id, rate))
        if principal.key_id is not None and (rate := self._rate("key", principal.role)) is not None:
            takes.append(Take("key", principal.key_id, rate))
        return tuple(takes)

    def _rate(self, name: str, role: Role) -> Rate | None:
        rate = self._rates[name]
        return rate.scaled(self._owner_factor) if rate is not None and role is Role.OWNER else rate

    # -- both --------------------------------------------------------------------------------------

    async def _require(self, takes: Sequence[Take], asking: Asking | None = None) -> None:
        if not takes:
            return
        self._judge(await self._buckets.take(takes), asking)

    def _judge(self, verdict: Verdict, asking: Asking | None) -> None:
        if asking is not None:
            asking.standings |= {one.name: one for one in verdict.standings}
        if verdict.refused_by is not None:
            raise self._refusal(verdict, verdict.refused_by)

    def _refusal(self, verdict: Verdict, name: str) -> ParleyError:
        self.refused[name] = self.refused.get(name, 0) + 1
        message = f"Too much was asked for at once ({name}); ask again in {verdict.retry_after_s} s."
        return ParleyError(ErrorCode.RATE_LIMITED, message, retry_after_s=verdict.retry_after_s)


def described(standings: Collection[Standing]) -> dict[str, str]:
    """Return the headers that tell of limits (draft-ietf-httpapi-ratelimit-headers-10), none without any."""
    if not standings:
        return {}
    policies = ", ".join(f'"{one.name}";q={one.rate.burst};w={one.rate.window_s}' for one in standings)
    left = ", ".join(f'"{one.name}";r={one.left};t={one.full_s}' for one in standings)
    return {"RateLimit-Policy": policies, "RateLimit": left}
