"""What turns cost: counted once for each turn, by whom, by which bot, by which model and on which day.

Money is in millionths of whatever the prices in the settings are in. Days and months are those of UTC.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from parley_contracts.accounts import PrincipalRequest
from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.policy import Role
from parley_contracts.turns import CallTotals, TokenUsage

MOST_ASKED = 10_000
MOST_ROWS = 1000
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

Day = Annotated[str, StringConstraints(pattern=DAY)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Span = Literal["day", "month"]
Scope = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def user_scope(user_id: str) -> str:
    """Return under which name all is counted that a user spends, his bots' share included."""
    return f"user:{user_id}"


def bot_scope(bot_id: str) -> str:
    """Return under which name it is counted what a bot's visitors spend."""
    return f"bot:{bot_id}"


def bots_scope(owner_id: str) -> str:
    """Return under which name it is counted what visitors of all bots of an owner spend."""
    return f"bots_of:{owner_id}"


def scopes_of(payer_id: str, bot_id: str | None, *, is_visitor: bool) -> tuple[str, ...]:
    """Return under which names a turn is counted: of a user, also of a bot, or of his bot's visitor."""
    bot = () if bot_id is None else (bot_scope(bot_id),)
    visitors = (bots_scope(payer_id),) if is_visitor else ()
    return (*bot, user_scope(payer_id), *visitors)


def periods_of(at_ms: int) -> tuple[str, str]:
    """Return the day and the month of a time, as `2026-11-21` and `2026-11`."""
    day = datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
    return day, day[:7]


def span_of(period: str) -> Span:
    """Return whether a period is a day or a month."""
    return "day" if len(period) > len("2026-11") else "month"


def turn_name(turn_id: str, accepted_at_ms: int) -> str:
    """Return what is counted once: a day later the same id may be another turn's."""
    return f"{turn_id}.{accepted_at_ms}"


class Amount(WireModel):
    """What is spent or may be."""

    turns: Count = 0
    tokens: Count = 0
    micros: Count = 0


class QuotaOfRole(WireModel):
    """What each user of a role may spend in a day or a month; None is no limit."""

    role: Role
    span: Span
    turns: Count | None = None
    tokens: Count | None = None
    micros: Count | None = None


class RecordUsage(OwnedRequest):
    """Request: count what a turn has cost; a second time it changes nothing.

    `turns` is 0 for one that never ran: it is noted so that its reservation ends.
    """

    type: Literal["record_usage"] = "record_usage"
    turn_id: str = Field(min_length=1, max_length=128)
    payer_id: str = Field(min_length=1, max_length=200, description="The user, or the owner of the bot.")
    bot_id: str | None = Field(default=None, max_length=64)
    model: str = Field(default="", max_length=200)
    turns: int = Field(ge=0, le=1)
    usage: TokenUsage = TokenUsage()
    cost_micros: Count = 0
    calls: CallTotals = CallTotals()
    accepted_at_ms: int = Field(ge=0, le=2**53)
    quotas: tuple[QuotaOfRole, ...] = Field(
        default=(), max_length=16, description="Of which the payer is told when he comes to their end."
    )


class ScopeTotal(WireModel):
    """What one scope has spent in one period; of two, the one of the higher version is the later."""

    scope: Scope
    period: str
    spent: Amount
    version: int


class UsageTotals(WireModel):
    """What scopes have spent, and which turns that were asked about are counted in it."""

    type: Literal["usage_totals"] = "usage_totals"
    totals: tuple[ScopeTotal, ...]
    recorded: tuple[str, ...] = ()


class SpentPlace(WireModel):
    """A scope and a period."""

    scope: Scope
    period: str = Field(max_length=10)


class ReadTotals(WireModel):
    """Request: what scopes have spent in periods."""

    type: Literal["read_totals"] = "read_totals"
    places: tuple[SpentPlace, ...] = Field(default=(), max_length=100)
    turns: tuple[str, ...] = Field(
        default=(), max_length=MOST_ASKED, description="Turns by `turn_name`: which of them are counted?"
    )


class ReadUsage(PrincipalRequest):
    """Request: what was spent, by day, user, bot and model, the latest day first.

    `of_all` is everybody's; `user_id` and `bot_id` narrow it.
    """

    type: Literal["read_usage"] = "read_usage"
    of_all: bool = False
    from_day: Day | None = None
    to_day: Day | None = None
    user_id: str | None = Field(default=None, max_length=200)
    bot_id: str | None = Field(default=None, max_length=64)
    model: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=200, ge=1, le=MOST_ROWS)
    offset: int = Field(default=0, ge=0, le=2**31 - 1)


class UsageRow(WireModel):
    """What one user spent on one day, by one model, himself or by one of his bots."""

    day: str
    user_id: str
    bot_id: str | None = None
    model: str
    turns: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = Field(default=0, description="Of the prompts: what providers had in their caches.")
    cost_micros: int
    calls: int = Field(default=0, description="Calls of the model that came to their end.")
    first_token_ms: int | None = Field(default=None, description="Until the first piece, on average.")
    tokens_per_s: float | None = Field(default=None, description="From the first piece on, on average.")


class UsageReport(WireModel):
    """Rows of usage and the sum of all that were asked for, also of those on other pages."""

    type: Literal["usage_report"] = "usage_report"
    rows: tuple[UsageRow, ...]
    total: Amount
    next_offset: int | None = None
