"""What turns have cost, each counted once; and what was spent, for quotas and for people."""

from collections.abc import Iterable, Sequence
from typing import Any

from parley_contracts import subjects
from parley_contracts.policy import Permission
from parley_contracts.usage import (
    Amount,
    ReadTotals,
    ReadUsage,
    RecordUsage,
    ScopeTotal,
    UsageReport,
    UsageRow,
    UsageTotals,
    periods_of,
    scopes_of,
    turn_name,
)
from parley_messaging import Service
from parley_storage import Database
from sqlalchemy import ColumnElement, Connection, Table, func, select, tuple_

from parley_accounts.acting import require_actor, require_target
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.data_job_rows import is_being_erased
from parley_accounts.quota_notices import QuotaNotices
from parley_accounts.tables import usage, usage_totals, usage_turns

IN_ONE_QUERY = 500


class Usage:
    """Counts turns, and says what was spent."""

    def __init__(self, database: Database, quotas: QuotaNotices, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._quotas = quotas
        self._clock = clock

    async def record(self, request: RecordUsage) -> UsageTotals:
        """Count a turn unless it is counted; return what its scopes have spent."""
        periods = periods_of(request.accepted_at_ms)
        is_visitor = request.payer_id != request.owner_id
        scopes = scopes_of(request.payer_id, request.bot_id, is_visitor=is_visitor)
        name = turn_name(request.turn_id, request.accepted_at_ms)
        places = [(scope, period) for scope in scopes for period in periods]

        def record(connection: Connection) -> tuple[UsageTotals, bool]:
            turn = self._database.insert(usage_turns).values(name=name, recorded_at_ms=self._clock())
            added = turn.on_conflict_do_nothing().returning(usage_turns.c.name)
            if is_new := connection.execute(added).first() is not None:
                self._count(connection, request, day=periods[0], places=places)
            return UsageTotals(totals=_totals(connection, places), recorded=(name,)), is_new

        found, is_new = await self._database.write(record)
        await self._quotas.tell(request, found.totals, is_repeat=not is_new)
        return found

    def _count(
        self, connection: Connection, request: RecordUsage, *, day: str, places: Sequence[tuple[str, str]]
    ) -> None:
        spent = {
            "prompt_tokens": request.usage.prompt_tokens,
            "completion_tokens": request.usage.completion_tokens,
            "cost_micros": request.cost_micros,
            "cached_tokens": request.usage.cached_tokens,
            "calls": request.calls.count,
            "first_token_ms": request.calls.first_token_ms,
            "writing_ms": request.calls.writing_ms,
            # What was written in a time that is known.
            "written_tokens": request.usage.completion_tokens if request.calls.writing_ms else 0,
        }
        # What is told of somebody who is being erased counts for quotas alone: sums without his id's rows.
        is_kept = not is_being_erased(connection, request.payer_id)
        if is_kept and (request.turns or any(spent.values())):
            key = {
                "day": day,
                "user_id": request.payer_id,
                "bot_id": request.bot_id or "",
                "model": request.model,
            }
            self._add(connection, usage, key, {"turns": request.turns, **spent})
        tokens = request.usage.prompt_tokens + request.usage.completion_tokens
        amounts = {"turns": request.turns, "tokens": tokens, "micros": request.cost_micros, "version": 1}
        # In one order everywhere: transactions that count for the same scopes wait for each other in a row.
        for scope, period in sorted(places):
            self._add(connection, usage_totals, {"scope": scope, "period": period}, amounts)

    def _add(
        self, connection: Connection, table: Table, key: dict[str, str], amounts: dict[str, int]
    ) -> None:
        row = self._database.insert(table).values(**key, **amounts)
        added = {name: table.c[name] + amount for name, amount in amounts.items()}
        connection.execute(row.on_conflict_do_update(index_elements=list(key), set_=added))

    async def totals(self, request: ReadTotals) -> UsageTotals:
        """Return what scopes have spent, and which of some turns are counted."""

        def read(connection: Connection) -> UsageTotals:
            # First which turns are counted: one that is counted meanwhile may count twice, and never not.
            recorded = tuple(_recorded(connection, request.turns))
            return UsageTotals(
                totals=_totals(connection, [(one.scope, one.period) for one in request.places]),
                recorded=recorded,
            )

        return await self._database.read(read)

    async def read(self, request: ReadUsage) -> UsageReport:
        """Return what was spent: one's own, another's or everybody's."""

        def read(connection: Connection) -> UsageReport:
            asked = _asked(request, _whose(connection, request))
            newest = select(usage).where(*asked).order_by(usage.c.day.desc(), *list(usage.primary_key)[1:])
            rows = connection.execute(newest.offset(request.offset).limit(request.limit + 1)).all()
            tokens = usage.c.prompt_tokens + usage.c.completion_tokens
            sums = select(func.sum(usage.c.turns), func.sum(tokens), func.sum(usage.c.cost_micros)).where(
                *asked
            )
            turns, all_tokens, micros = connection.execute(sums).one()
            has_more = len(rows) > request.limit
            return UsageReport(
                rows=tuple(_row(row) for row in rows[: request.limit]),
                total=Amount(turns=int(turns or 0), tokens=int(all_tokens or 0), micros=int(micros or 0)),
                next_offset=request.offset + request.limit if has_more else None,
            )

        return await self._database.read(read)


def _whose(connection: Connection, request: ReadUsage) -> str | None:
    """Return the user it is about; None is everybody."""
    if request.of_all:
        require_actor(connection, request, Permission.USERS_READ)
        return request.user_id
    own, others = Permission.ACCOUNT_READ, Permission.USERS_READ
    return require_target(connection, request, request.user_id, own=own, others=others)[1].id


def _asked(request: ReadUsage, user_id: str | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (usage.c.user_id, user_id),
        (usage.c.bot_id, request.bot_id),
        (usage.c.model, request.model),
    ):
        if value is not None:
            found.append(column == value)
    if request.from_day is not None:
        found.append(usage.c.day >= request.from_day)
    if request.to_day is not None:
        found.append(usage.c.day <= request.to_day)
    return found


def _row(row: Any) -> UsageRow:
    return UsageRow(
        day=row.day,
        user_id=row.user_id,
        bot_id=row.bot_id or None,
        model=row.model,
        turns=row.turns,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cached_tokens=row.cached_tokens,
        cost_micros=row.cost_micros,
        calls=row.calls,
        first_token_ms=round(row.first_token_ms / row.calls) if row.calls else None,
        tokens_per_s=round(1000 * row.written_tokens / row.writing_ms, 1) if row.writing_ms else None,
    )


def _totals(connection: Connection, places: Sequence[tuple[str, str]]) -> tuple[ScopeTotal, ...]:
    """Return a total for each scope and period that is asked for, also where nothing was spent."""
    here = tuple_(usage_totals.c.scope, usage_totals.c.period)
    found: dict[tuple[str, str], ScopeTotal] = {}
    rows: Sequence[Any] = ()
    if places:
        rows = connection.execute(select(usage_totals).where(here.in_(places))).all()
    for row in rows:
        spent = Amount(turns=row.turns, tokens=row.tokens, micros=row.micros)
        total = ScopeTotal(scope=row.scope, period=row.period, spent=spent, version=row.version)
        found[row.scope, row.period] = total
    return tuple(
        found.get((scope, period)) or ScopeTotal(scope=scope, period=period, spent=Amount(), version=0)
        for scope, period in places
    )


def _recorded(connection: Connection, names: Sequence[str]) -> Iterable[str]:
    for at in range(0, len(names), IN_ONE_QUERY):
        some = names[at : at + IN_ONE_QUERY]
        query = select(usage_turns.c.name).where(usage_turns.c.name.in_(some))
        yield from connection.execute(query).scalars()


def bind_usage(service: Service, parts: Usage) -> None:
    """Answer the subjects about usage."""
    service.answer(subjects.ACCOUNTS_RECORD_USAGE, RecordUsage, parts.record)
    service.answer(subjects.ACCOUNTS_READ_TOTALS, ReadTotals, parts.totals)
    service.answer(subjects.ACCOUNTS_READ_USAGE, ReadUsage, parts.read)
