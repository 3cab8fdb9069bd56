"""What is told of a turn whose quotas are used up."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.usage import span_of
from parley_limits import Quota, Rate, Standing

_WHOSE = {"bot": "The bot's", "bots_of": "The owner's bots'"}
_PREFIXES = {"bot": "bot_", "bots_of": "bots_"}
_KINDS = ("turns", "tokens", "micros")
_MICROS = 1_000_000


class QuotaExceededError(ParleyError):
    """A turn is refused until a quota begins again.

    Attributes:
        standings: The quotas that are used up, as limits are told.
    """

    def __init__(self, quotas: Sequence[Quota]) -> None:
        last = max(quotas, key=lambda quota: _begins_again(quota.period))
        most = " or ".join(_words(kind, count) for kind, count in _counts(last))
        whose = _WHOSE.get(_scope_kind(last), "Your")
        message = f"{whose} quota of this {span_of(last.period)} is used up: {most}."
        super().__init__(ErrorCode.QUOTA_EXCEEDED, message, retry_after_s=_wait_s(last))
        self.standings = tuple(one for quota in quotas for one in _standings(quota))


def _scope_kind(quota: Quota) -> str:
    return quota.scope.partition(":")[0]


def _counts(quota: Quota) -> list[tuple[str, int]]:
    return [(kind, count) for kind, count in zip(_KINDS, quota.most.limits, strict=True) if count is not None]


def _words(kind: str, count: int) -> str:
    return f"money of {count / _MICROS:g}" if kind == "micros" else f"{count:,} {kind}"


def _standings(quota: Quota) -> Iterator[Standing]:
    counts = _counts(quota)
    if len(counts) > 1:
        return  # nobody has told which of them is used up
    lasts_s = int((_begins_again(quota.period) - _begins(quota.period)).total_seconds())
    for kind, count in counts:
        name = f"{_PREFIXES.get(_scope_kind(quota), '')}{kind}_{span_of(quota.period)}"
        yield Standing(name, Rate(count, lasts_s), 0, _wait_s(quota))


def _wait_s(quota: Quota) -> int:
    return max(1, int((_begins_again(quota.period) - datetime.now(UTC)).total_seconds()))


def _begins(period: str) -> datetime:
    return datetime.fromisoformat(period if span_of(period) == "day" else f"{period}-01").replace(tzinfo=UTC)


def _begins_again(period: str) -> datetime:
    """Return when the period after a day or a month begins."""
    begins = _begins(period)
    if span_of(period) == "day":
        return begins + timedelta(days=1)
    return begins.replace(year=begins.year + begins.month // 12, month=begins.month % 12 + 1)
