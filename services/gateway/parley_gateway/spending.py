"""What a turn spends from: who pays, which quotas hold for him, and what is expected of it before it runs."""

from dataclasses import dataclass
from typing import Literal

from parley_contracts.bots import BotLimits
from parley_contracts.policy import Role
from parley_contracts.prices import Prices
from parley_contracts.turns import Seal, StartTurn, TokenUsage, TurnOutcome
from parley_contracts.usage import (
    Amount,
    QuotaOfRole,
    RecordUsage,
    bot_scope,
    bots_scope,
    periods_of,
    scopes_of,
    turn_name,
    user_scope,
)
from parley_limits import Claim, Most, OpenTurn, Quota
from parley_messaging.message_headers import now_ms

from parley_gateway.file_room import file_chars, files_of
from parley_gateway.limit_settings import LimitSettings
from parley_gateway.prompt import message_chars
from parley_gateway.quota_text import parse_most
from parley_gateway.visitor_tokens import VISITOR_START

_SPANS: tuple[Literal["day"], Literal["month"]] = ("day", "month")
AFTER_DEADLINE_MS = 60_000
"""By then a turn has ended, whatever has become of it."""


@dataclass(frozen=True, slots=True)
class BotPayer:
    """What a bot's visitors spend from.

    Attributes:
        limits: The bot's own.
        owner_role: That of its owner, by which visitors are limited.
    """

    limits: BotLimits
    owner_role: Role = Role.GUEST


def _or(own: Most, usual: Most) -> Most:
    """Return limits of one's own, and the usual one of each kind that has none."""
    found = (
        mine if mine is not None else other for mine, other in zip(own.limits, usual.limits, strict=True)
    )
    return Most(*found)


class Spending:
    """Makes claims of turns before they run, and records of what they have spent."""

    def __init__(self, settings: LimitSettings) -> None:
        self._most = {
            (whose, period): parse_most(getattr(settings, f"gateway_quota_{whose}_{period}"))
            for whose in (*(role.value for role in Role), "bot")
            for period in _SPANS
        }
        self._told = tuple(
            QuotaOfRole(role=role, span=span, turns=most.turns, tokens=most.tokens, micros=most.micros)
            for role in Role
            for span in _SPANS
            if (most := self._most[role.value, span]).is_limited
        )
        self._percent = settings.gateway_quota_bots_percent
        self._answer_tokens = settings.gateway_quota_answer_tokens
        self._prices = Prices.parse(settings.gateway_prices)

    def claim(self, command: StartTurn, role: Role, payer: BotPayer | None) -> Claim | None:
        """Return what a turn wants to spend; None where nothing limits it."""
        day, month = periods_of(command.accepted_at_ms)
        quotas = [
            quota
            for period, name in ((day, "day"), (month, "month"))
            for quota in self._quotas(command, role, payer, period, name)
            if quota.most.is_limited
        ]
        if not quotas:
            return None
        return Claim(command.turn.turn_id, self._expected(command), tuple(quotas), _lasts_ms(command))

    def _quotas(
        self, command: StartTurn, role: Role, payer: BotPayer | None, period: str, name: str
    ) -> tuple[Quota, ...]:
        bot = command.bot
        own_quota = Quota(user_scope(command.turn.owner_id), period, self._most[role.value, name])
        if bot is None:
            return (own_quota,)
        limits = BotLimits() if payer is None else payer.limits
        owner = self._most[Role.GUEST.value if payer is None else payer.owner_role.value, name]
        if name == "day":
            own = Most(limits.turns_a_day, limits.tokens_a_day, limits.micros_a_day)
        else:
            own = Most(limits.turns_a_month, limits.tokens_a_month, limits.micros_a_month)
        bot_quota = Quota(bot_scope(bot.id), period, _or(own, self._most["bot", name]))
        if not is_visitors(command):
            return bot_quota, own_quota
        return (
            bot_quota,
            Quota(user_scope(bot.owner_id), period, owner),
            Quota(bots_scope(bot.owner_id), period, owner.share(self._percent)),
        )

    def open_turn(self, command: StartTurn) -> OpenTurn:
        """Return an accepted turn as everything is counted that it may spend from."""
        bot, is_visitor = command.bot, is_visitors(command)
        payer_id = bot.owner_id if bot is not None and is_visitor else command.turn.owner_id
        scopes = scopes_of(payer_id, None if bot is None else bot.id, is_visitor=is_visitor)
        places = tuple((scope, period) for scope in scopes for period in periods_of(command.accepted_at_ms))
        name = turn_name(command.turn.turn_id, command.accepted_at_ms)
        return OpenTurn(command.turn.turn_id, name, self._expected(command), places, _lasts_ms(command))

    def _expected(self, command: StartTurn) -> Amount:
        """Return what a turn is expected to spend, before anybody knows."""
        prompt = TokenUsage.guessed(asked_chars(command), 0)
        answer = command.params.max_tokens or self._answer_tokens
        usage = prompt.model_copy(update={"completion_tokens": answer})
        model = command.chosen.id if command.chosen else command.model
        return Amount(
            turns=1,
            tokens=usage.prompt_tokens + usage.completion_tokens,
            micros=self._prices.cost_micros(model, usage),
        )

    def record(self, seal: Seal) -> RecordUsage:
        """Return what a turn has spent, by its seal."""
        usage = seal.usage
        has_run = seal.outcome is TurnOutcome.COMPLETED or bool(seal.model or seal.text)
        return RecordUsage(
            owner_id=seal.turn.owner_id,
            turn_id=seal.turn.turn_id,
            payer_id=seal.payer_id or seal.turn.owner_id,
            bot_id=seal.bot_id,
            model=seal.model or "",
            turns=int(has_run),
            usage=usage,
            cost_micros=self._cost_micros(seal),
            calls=seal.calls,
            accepted_at_ms=seal.accepted_at_ms,
            quotas=self._told,
        )

    def _cost_micros(self, seal: Seal) -> int:
        """Return what a turn has cost: by the prices that are set, else by those of its calls."""
        if seal.calls.cost_micros is None or self._prices.of(seal.model or "") is not None:
            return self._prices.cost_micros(seal.model, seal.usage)
        return seal.calls.cost_micros


def is_visitors(command: StartTurn) -> bool:
    """Return whether a visitor asks, for whom the bot's owner pays; a user who asks a bot pays himself."""
    return command.bot is not None and command.turn.owner_id.startswith(VISITOR_START)


def asked_chars(command: StartTurn) -> int:
    """Return how long a prompt is at least: what is said by who asks, before him, and by the bot."""
    before, since = command.history or (), command.continuation
    said = len(command.text) + sum(message_chars(message) for message in (*before, *since))
    said += sum(len(tool.model_dump_json()) for tool in command.tools)
    if command.kept_attachments and command.chosen is not None:
        said += file_chars(files_of(command, command.chosen, before, command.kept_attachments))
    return said + (len(command.bot.prompt) if command.bot else 0)


def _lasts_ms(command: StartTurn) -> int:
    return max(AFTER_DEADLINE_MS, command.deadline_ms - now_ms() + AFTER_DEADLINE_MS)
