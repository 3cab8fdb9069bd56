"""Usage: each turn is counted once, sums and rows agree, and nobody sees what others have spent."""

import asyncio
from typing import Any

from parley_contracts import subjects
from parley_contracts.accounts import User
from parley_contracts.data_rights import CreateErasure, DataJob
from parley_contracts.errors import ErrorCode
from parley_contracts.notices import ListNotices, NoticeKind, NoticeList
from parley_contracts.policy import Role
from parley_contracts.turns import CallTotals, TokenUsage
from parley_contracts.usage import (
    Amount,
    QuotaOfRole,
    ReadTotals,
    ReadUsage,
    RecordUsage,
    SpentPlace,
    UsageReport,
    UsageTotals,
    bot_scope,
    bots_scope,
    turn_name,
    user_scope,
)

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user

NOON_MS = 1_795_262_400_000
"""12:00 of 2026-11-21, UTC."""
DAY, MONTH = "2026-11-21", "2026-11"
ADAS_DAY = SpentPlace(scope=user_scope("ada"), period=DAY)


def turn(turn_id: str, user_id: str = "ada", **fields: Any) -> RecordUsage:
    usual: dict[str, Any] = {
        "owner_id": user_id,
        "turn_id": turn_id,
        "payer_id": user_id,
        "model": "m1",
        "turns": 1,
        "usage": TokenUsage(prompt_tokens=70, completion_tokens=30),
        "cost_micros": 5,
        "accepted_at_ms": NOON_MS,
    }
    return RecordUsage(**{**usual, **fields})


async def record(accounts: Accounts, request: RecordUsage) -> dict[tuple[str, str], Amount]:
    found = await accounts.ask(subjects.ACCOUNTS_RECORD_USAGE, request, UsageTotals)
    assert found.recorded == (turn_name(request.turn_id, request.accepted_at_ms),)
    return {(one.scope, one.period): one.spent for one in found.totals}


async def report(accounts: Accounts, **fields: Any) -> UsageReport:
    return await accounts.ask(subjects.ACCOUNTS_READ_USAGE, ReadUsage(**{**OWNER, **fields}), UsageReport)


async def test_a_turn_is_counted_once_however_often_and_by_however_many_it_is_told(
    accounts: Accounts,
) -> None:
    once = Amount(turns=1, tokens=100, micros=5)
    answers = await asyncio.gather(*(record(accounts, turn("t1")) for _ in range(8)))
    assert all(
        answer == {(user_scope("ada"), DAY): once, (user_scope("ada"), MONTH): once} for answer in answers
    )
    # A day later the same id may be another turn.
    later = await record(accounts, turn("t1", accepted_at_ms=NOON_MS + 90_000_000))
    assert later[user_scope("ada"), MONTH].turns == 2
    assert later[user_scope("ada"), "2026-11-22"].turns == 1


async def test_what_a_visitor_spends_is_the_bots_the_owners_and_that_of_all_his_bots(
    accounts: Accounts,
) -> None:
    asked = turn("t1", "visitor-b-1", payer_id="ada", bot_id="b")
    found = await record(accounts, asked)
    scopes = {bot_scope("b"), user_scope("ada"), bots_scope("ada")}
    assert set(found) == {(scope, period) for scope in scopes for period in (DAY, MONTH)}
    assert all(one == Amount(turns=1, tokens=100, micros=5) for one in found.values())
    await record(accounts, turn("t2", "ada"))
    request = ReadTotals(places=tuple(SpentPlace(scope=scope, period=DAY) for scope in sorted(scopes)))
    totals = (await accounts.ask(subjects.ACCOUNTS_READ_TOTALS, request, UsageTotals)).totals
    assert {one.scope: one.spent.turns for one in totals} == {
        bot_scope("b"): 1,
        bots_scope("ada"): 1,
        user_scope("ada"): 2,
    }


async def test_versions_grow_with_each_turn_and_nothing_is_version_nought(accounts: Accounts) -> None:
    request = ReadTotals(places=(ADAS_DAY,), turns=(turn_name("t1", NOON_MS), "x.1"))
    versions: list[int] = []
    for number in range(3):
        found = await accounts.ask(subjects.ACCOUNTS_READ_TOTALS, request, UsageTotals)
        versions.append(found.totals[0].version)
        assert found.recorded == ((turn_name("t1", NOON_MS),) if number > 1 else ())
        await record(accounts, turn(f"t{number}"))
    assert versions == [0, 1, 2]


async def test_a_turn_that_never_ran_is_noted_and_costs_nothing(accounts: Accounts) -> None:
    found = await record(accounts, turn("t1", turns=0, usage=TokenUsage(), cost_micros=0))
    assert all(one == Amount() for one in found.values())
    assert (await report(accounts, of_all=True)).rows == ()


async def test_rows_are_by_day_user_bot_and_model_and_add_up(accounts: Accounts) -> None:
    for number in range(3):
        await record(accounts, turn(f"a{number}"))
    await record(accounts, turn("b", model="m2"))
    await record(accounts, turn("c", "visitor-b-1", payer_id="ada", bot_id="b"))
    await record(accounts, turn("d", "bo", accepted_at_ms=NOON_MS - 86_400_000))
    found = await report(accounts, of_all=True)
    rows = [(one.day, one.user_id, one.bot_id, one.model, one.turns) for one in found.rows]
    assert rows == [
        (DAY, "ada", None, "m1", 3),
        (DAY, "ada", None, "m2", 1),
        (DAY, "ada", "b", "m1", 1),
        ("2026-11-20", "bo", None, "m1", 1),
    ]
    assert found.total == Amount(turns=6, tokens=600, micros=30)
    assert (await report(accounts, of_all=True, user_id="ada", model="m1")).total.turns == 4
    assert (await report(accounts, of_all=True, bot_id="b")).total.turns == 1
    assert (await report(accounts, of_all=True, to_day="2026-11-20")).total.turns == 1
    first = await report(accounts, of_all=True, limit=3)
    assert (len(first.rows), first.next_offset, first.total.turns) == (3, 3, 6)
    assert [one.user_id for one in (await report(accounts, of_all=True, offset=3)).rows] == ["bo"]


async def test_everybody_sees_his_own_and_who_looks_after_users_sees_all(accounts: Accounts) -> None:
    ada, bo = await accounts.user("ada"), await accounts.user("bo", Role.ADMIN)
    await record(accounts, turn("t1", ada.id))
    await record(accounts, turn("t2", bo.id))
    assert [one.user_id for one in (await report(accounts, **as_user(ada))).rows] == [ada.id]
    asks = {
        "all": ReadUsage(**as_user(ada), of_all=True),
        "another's": ReadUsage(**as_user(ada), user_id=bo.id),
    }
    codes = {
        name: await accounts.refusal_code(subjects.ACCOUNTS_READ_USAGE, request)
        for name, request in asks.items()
    }
    assert codes == {"all": ErrorCode.FORBIDDEN, "another's": ErrorCode.NOT_FOUND}
    assert (await report(accounts, **as_user(bo), of_all=True)).total.turns == 2
    assert (await report(accounts, **as_user(bo))).total.turns == 1


async def test_counted_turns_are_forgotten_after_a_week_and_sums_stay(accounts: Accounts) -> None:
    await record(accounts, turn("t1"))
    accounts.clock.advance(9 * 86_400)
    await accounts.sweep.sweep()
    request = ReadTotals(places=(ADAS_DAY,), turns=(turn_name("t1", NOON_MS),))
    found = await accounts.ask(subjects.ACCOUNTS_READ_TOTALS, request, UsageTotals)
    assert (found.recorded, found.totals[0].spent.turns) == ((), 1)


async def test_what_is_told_of_somebody_who_is_erased_leaves_no_row_of_his(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    await accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, CreateErasure(**OWNER, user_id=ada.id), DataJob)
    found = await record(accounts, turn("t1", ada.id))
    assert found[user_scope(ada.id), DAY].turns == 1
    assert (await report(accounts, of_all=True)).rows == ()


async def quota_notices(accounts: Accounts, user: User) -> list[tuple[NoticeKind, str | None, int | None]]:
    page = await accounts.ask(subjects.ACCOUNTS_LIST_NOTICES, ListNotices(**as_user(user)), NoticeList)
    return sorted((one.kind, one.facts.quota, one.facts.percent) for one in page.notices)


async def test_who_comes_to_most_and_to_all_of_a_quota_is_told_once_of_each(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    quotas = (
        QuotaOfRole(role=Role.MEMBER, span="day", turns=5, tokens=2000),
        QuotaOfRole(role=Role.MEMBER, span="month", micros=15),
        # Another role's.
        QuotaOfRole(role=Role.GUEST, span="day", turns=1),
    )
    near, reached = NoticeKind.QUOTA_NEAR, NoticeKind.QUOTA_REACHED
    told: list[int] = []
    for number in range(6):
        asked = turn(f"t{number}", ada.id, quotas=quotas)
        await asyncio.gather(*(record(accounts, asked) for _ in range(3)))
        told.append(len(await quota_notices(accounts, ada)))
    assert told == [0, 0, 1, 2, 3, 3]
    assert await quota_notices(accounts, ada) == [
        (near, "turns_day", 80),
        (reached, "micros_month", 100),
        (reached, "turns_day", 100),
    ]
    # A new day has a quota of its own.
    for number in range(4):
        await record(accounts, turn(f"u{number}", ada.id, quotas=quotas, accepted_at_ms=NOON_MS + 86_400_000))
    assert (await quota_notices(accounts, ada)).count((near, "turns_day", 80)) == 2


async def test_a_threshold_is_told_by_the_repeat_of_a_turn_though_others_have_spent_since(
    accounts: Accounts,
) -> None:
    ada = await accounts.user("ada")
    quotas = (QuotaOfRole(role=Role.MEMBER, span="day", tokens=1000),)
    for number in range(9):
        # The eighth is counted by somebody who dies before he tells.
        told = () if number == 7 else quotas
        await record(accounts, turn(f"t{number}", ada.id, quotas=told))
    assert await quota_notices(accounts, ada) == []
    for _ in range(2):
        await record(accounts, turn("t7", ada.id, quotas=quotas))
    assert await quota_notices(accounts, ada) == [(NoticeKind.QUOTA_NEAR, "tokens_day", 80)]


async def test_an_owner_is_told_of_what_visitors_of_his_bots_spend_and_strangers_of_nothing(
    accounts: Accounts,
) -> None:
    ada = await accounts.user("ada")
    quotas = (QuotaOfRole(role=Role.MEMBER, span="day", turns=1),)
    await record(accounts, turn("t1", "visitor-b-1", payer_id=ada.id, bot_id="b", quotas=quotas))
    assert await quota_notices(accounts, ada) == [(NoticeKind.QUOTA_REACHED, "turns_day", 100)]
    # Whose account is gone is counted all the same.
    await record(accounts, turn("t2", "gone", quotas=quotas))


async def test_a_row_tells_what_calls_took_and_what_was_in_a_cache(accounts: Accounts) -> None:
    usage = TokenUsage(prompt_tokens=70, cached_tokens=40, completion_tokens=30)
    for number, first_ms in enumerate((100, 300)):
        calls = CallTotals(count=1, cost_micros=9, first_token_ms=first_ms, writing_ms=1500)
        await record(accounts, turn(f"t{number}", usage=usage, calls=calls))
    # Of one that was stopped nobody knows how long it would have taken.
    await record(accounts, turn("stopped", usage=usage))
    (row,) = (await report(accounts, of_all=True)).rows
    assert (row.turns, row.calls, row.cached_tokens) == (3, 2, 120)
    assert (row.first_token_ms, row.tokens_per_s) == (200, 20.0)


async def test_a_row_without_calls_tells_no_speed(accounts: Accounts) -> None:
    await record(accounts, turn("t1"))
    (row,) = (await report(accounts, of_all=True)).rows
    assert (row.calls, row.first_token_ms, row.tokens_per_s) == (0, None, None)
