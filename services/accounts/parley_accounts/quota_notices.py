"""Users are told when most of a quota is used, and when all of it is: by the turn that comes to it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from parley_contracts.policy import Role
from parley_contracts.usage import Amount, QuotaOfRole, RecordUsage, ScopeTotal, span_of, user_scope
from parley_storage import Database
from sqlalchemy import Connection

from parley_accounts.acting import find_user
from parley_accounts.notices.notices import ALL_PERCENT, Notices

THRESHOLDS_PERCENT = (ALL_PERCENT, 80)


@dataclass(frozen=True, slots=True)
class _Reached:
    """A threshold of a quota that users of a role have."""

    role: Role
    quota: str
    period: str
    percent: int


class QuotaNotices:
    """Tells who pays for a turn, behind the transaction that counts it.

    That one has locked sums, and rows of users are locked before all others. Whoever dies in between is asked
    again, for the turn is not settled; what was told once is not told again.
    """

    def __init__(self, database: Database, notices: Notices, *, wake: Callable[[], None]) -> None:
        self._database = database
        self._notices = notices
        self._wake = wake

    async def tell(self, request: RecordUsage, totals: Sequence[ScopeTotal], *, is_repeat: bool) -> None:
        """Tell what a turn has come to; `totals` are those behind it.

        Those of a repeat hold what others have spent since: all is told that is reached by now.
        """
        if reached := list(_reached(request, totals, is_repeat=is_repeat)):
            await self._database.write(partial(self._tell, user_id=request.payer_id, reached=reached))
            self._wake()

    def _tell(self, connection: Connection, user_id: str, reached: Sequence[_Reached]) -> None:
        user = find_user(connection, user_id, locks=True)
        for one in reached:
            if user is not None and one.role == user.role:
                self._notices.tell_quota(
                    connection, user_id, quota=one.quota, period=one.period, percent=one.percent
                )


def _reached(request: RecordUsage, totals: Sequence[ScopeTotal], *, is_repeat: bool) -> Iterable[_Reached]:
    tokens = request.usage.prompt_tokens + request.usage.completion_tokens
    of_turn = Amount(turns=request.turns, tokens=tokens, micros=request.cost_micros)
    for total in totals:
        spent = total.spent if is_repeat else of_turn
        if total.scope != user_scope(request.payer_id):
            continue
        span = span_of(total.period)
        for quota in request.quotas:
            if quota.span == span:
                for kind, percent in _thresholds(quota, total.spent, spent):
                    yield _Reached(quota.role, f"{kind}_{span}", total.period, percent)


def _thresholds(quota: QuotaOfRole, behind: Amount, spent: Amount) -> Iterable[tuple[str, int]]:
    """Yield what `spent` has come to: of each kind of amount the highest threshold."""
    for kind in ("turns", "tokens", "micros"):
        most: int | None = getattr(quota, kind)
        now: int = getattr(behind, kind)
        before: int = now - getattr(spent, kind)
        for percent in THRESHOLDS_PERCENT:
            if most and before * ALL_PERCENT < most * percent <= now * ALL_PERCENT:
                yield kind, percent
                break
