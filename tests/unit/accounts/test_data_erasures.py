"""Erasures leave what the registry says, and take in their second round what was on its way."""

import asyncio
from typing import Any

from parley_accounts.tables import bots
from parley_contracts import subjects
from parley_contracts.bots import Bot, BotSettings, CreateBot, DeleteBot
from parley_contracts.data_places import PlaceKind, kept_places, places_of
from parley_contracts.data_rights import (
    CreateErasure,
    DataJob,
    DataJobState,
    ListDataJobs,
    visitors_of,
)
from parley_contracts.errors import ErrorCode
from parley_contracts.replies import Done
from sqlalchemy import URL, select

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user, open_accounts
from tests.unit.accounts.data_jobs_steps import (
    WAIT_S,
    ask_erasure,
    ask_export,
    fill,
    job_of,
    rows_of,
    work,
)
from tests.unit.accounts.data_rights_rig import ScriptedServices


async def test_an_erasure_leaves_what_the_registry_says_and_nothing_else(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, bot = await fill(accounts, services, "ada")
    other, _ = await fill(accounts, services, "bob")
    await ask_export(accounts, user)
    await work(accounts)
    assert accounts.bus.objects.kept
    before = await rows_of(accounts, other.id)
    await ask_erasure(accounts, user)
    await work(accounts)
    await accounts.parts.outbox.drain()
    assert services.left(user.id) == {}
    assert services.bots == (bot.id,)
    assert accounts.bus.objects.kept == {}
    kept = {one.name for one in places_of("accounts", PlaceKind.TABLE) if one.is_kept}
    assert {*await rows_of(accounts, user.id)} <= kept
    assert await rows_of(accounts, other.id) == before
    assert len(services.left(other.id)) == 3
    job = await job_of(accounts, user.id)
    assert (job.state, job.waits_for) == (DataJobState.DONE, None)
    counted = {name: places for name, places in job.report.counts.items() if name != "accounts"}
    assert counted == {
        "turns": {"TURN_PEN": 5},
        "memory": {"memory_messages": 5},
        "rag": {"rag_documents": 5},
    }
    assert job.report.counts["accounts"]["accounts_users"] == 1
    assert job.report.kept == kept_places()
    assert not await accounts.database.read(
        lambda connection: connection.execute(select(bots).filter_by(owner_id=user.id)).all()
    )


async def test_what_was_on_its_way_at_the_first_round_goes_in_the_second(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, _ = await fill(accounts, services, "ada")
    await ask_erasure(accounts, user)
    runner = accounts.parts.data_rights.runner
    assert await runner.run_due()
    assert (await job_of(accounts, user.id)).state is DataJobState.SETTLING
    assert not await runner.run_due()
    services.fill(user.id, 1)
    accounts.clock.advance(WAIT_S)
    assert await runner.run_due()
    assert services.left(user.id) == {}
    assert (await job_of(accounts, user.id)).state is DataJobState.DONE


async def test_an_erasure_waits_for_turns_that_are_being_stopped(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, _ = await fill(accounts, services, "ada")
    services.waits = 2
    await ask_erasure(accounts, user)
    await accounts.parts.data_rights.runner.run_due()
    assert (await job_of(accounts, user.id)).waits_for == "turns: turns that are being stopped"
    assert services.asked.keys() == {"turns"}
    await work(accounts)
    assert (await job_of(accounts, user.id)).state is DataJobState.DONE


async def test_an_erasure_that_fails_at_its_deadline_can_be_asked_again(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, _ = await fill(accounts, services, "ada")
    services.away = {"rag"}
    await ask_erasure(accounts, user)
    await accounts.parts.data_rights.runner.run_due()
    accounts.clock.advance(8 * 86_400)
    await accounts.parts.data_rights.runner.run_due()
    failed = await job_of(accounts, user.id)
    assert failed.state is DataJobState.FAILED
    assert failed.report.counts["memory"] == {"memory_messages": 5}
    services.away = set()
    again = CreateErasure(**OWNER, user_id=user.id)
    await accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, again, DataJob)
    await work(accounts)
    assert (await job_of(accounts, user.id)).state is DataJobState.DONE
    assert services.left(user.id) == {}


async def test_an_erasure_that_fails_in_its_second_round_is_asked_again_until_it_is_done(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, bot = await fill(accounts, services, "ada")
    await ask_erasure(accounts, user)
    await accounts.parts.data_rights.runner.run_due()
    services.away, services.bots = {"rag"}, ()
    again = CreateErasure(**OWNER, user_id=user.id)
    settling = await accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, again, DataJob)
    assert settling.state is DataJobState.SETTLING
    for _ in range(2):
        services.fill(user.id, 1)
        accounts.clock.advance(8 * 86_400)
        await accounts.parts.data_rights.runner.run_due()
        assert (await job_of(accounts, user.id)).state is DataJobState.FAILED
        asked = await accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, again, DataJob)
        assert asked.state is DataJobState.WAITING
    services.away = set()
    await work(accounts)
    assert (await job_of(accounts, user.id)).state is DataJobState.DONE
    assert services.left(user.id) == {}
    assert services.bots == (bot.id,)
    # What is done is done, and only who looks after users learns that there was anybody.
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, again) is ErrorCode.NOT_FOUND


async def test_only_who_looks_after_users_repeats_an_erasure(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, other = await accounts.user("ada"), await accounts.user("bob")
    await ask_erasure(accounts, user)
    await accounts.parts.data_rights.runner.run_due()
    services.away = {"turns"}
    accounts.clock.advance(8 * 86_400)
    await accounts.parts.data_rights.runner.run_due()
    for user_id in (user.id, "never-was"):
        by_member = CreateErasure(**as_user(other), user_id=user_id)
        refused = await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, by_member)
        assert refused is ErrorCode.NOT_FOUND


async def test_what_visitors_asked_of_a_bot_goes_when_it_is_deleted(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, bot = await fill(accounts, services, "ada")
    before = await rows_of(accounts, user.id)
    await accounts.ask(subjects.ACCOUNTS_DELETE_BOT, DeleteBot(**as_user(user), bot_id=bot.id), Done)
    visitors = visitors_of(bot.id)
    services.rows["memory"][visitors] = ["asked"]
    await work(accounts)
    assert services.bots == (bot.id,)
    assert services.left(visitors) == {}
    assert len(services.left(user.id)) == 3
    assert (await job_of(accounts, visitors)).state is DataJobState.DONE
    after = await rows_of(accounts, user.id)
    for name in ("accounts_users", "accounts_sessions", "accounts_api_keys"):
        assert after[name] == before[name]
    accounts.clock.advance(31 * 86_400)
    await accounts.sweep.sweep()
    gone = ListDataJobs(**OWNER, user_id=visitors)
    assert await accounts.refusal_code(subjects.ACCOUNTS_LIST_DATA_JOBS, gone) is ErrorCode.NOT_FOUND


async def test_bots_that_are_deleted_in_a_row_are_one_erasure_and_another_owners_is_another(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, bot = await fill(accounts, services, "ada")
    made = CreateBot(**as_user(user), settings=BotSettings(name="Second"))
    second = await accounts.ask(subjects.ACCOUNTS_CREATE_BOT, made, Bot)
    other, others = await fill(accounts, services, "bob")
    for who, gone in ((user, bot), (other, others), (user, second)):
        await accounts.ask(subjects.ACCOUNTS_DELETE_BOT, DeleteBot(**as_user(who), bot_id=gone.id), Done)
    runner = accounts.parts.data_rights.runner
    accounts.clock.advance(31)
    named: list[tuple[str, ...]] = []
    while await runner.run_due():
        named.append(services.bots)
    assert sorted(named) == sorted([(bot.id, second.id), (others.id,)])
    await work(accounts)
    assert (await job_of(accounts, visitors_of(bot.id))).state is DataJobState.DONE


async def test_an_erasure_takes_visitors_along_whose_own_was_given_up(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, bot = await fill(accounts, services, "ada")
    services.away = {"memory"}
    await accounts.ask(subjects.ACCOUNTS_DELETE_BOT, DeleteBot(**as_user(user), bot_id=bot.id), Done)
    accounts.clock.advance(31)
    await accounts.parts.data_rights.runner.run_due()
    accounts.clock.advance(366 * 86_400)
    await accounts.parts.data_rights.runner.run_due()
    assert (await job_of(accounts, visitors_of(bot.id))).state is DataJobState.FAILED
    services.away, services.bots = set(), ()
    await ask_erasure(accounts, user)
    await work(accounts)
    assert services.bots == (bot.id,)


async def test_two_erasures_asked_at_once_are_one(accounts: Accounts, services: ScriptedServices) -> None:
    user = await accounts.user("ada")
    request = CreateErasure(**OWNER, user_id=user.id)
    made = await asyncio.gather(
        *(accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, request, DataJob) for _ in range(3))
    )
    assert len({job.id for job in made}) == 1


async def test_an_erasure_stops_the_export_that_is_under_way(url: URL) -> None:
    """The file that the export puts all the same is removed by the second round at the latest."""
    # The lease outlasts the test: a process that learns that it has lost it would put nothing.
    async with open_accounts(url, accounts_data_jobs_lease_s=3600) as accounts:
        services = ScriptedServices(accounts.bus)
        services.start()
        user, _ = await fill(accounts, services, "ada")
        export = await ask_export(accounts, user)
        is_reading, may_go_on = asyncio.Event(), asyncio.Event()
        real = accounts.bus.objects.put

        async def slow(key: str, data: Any) -> None:
            is_reading.set()
            await may_go_on.wait()
            await real(key, data)

        accounts.bus.objects.put = slow  # pyright: ignore[reportAttributeAccessIssue] - only for this test
        exporting = asyncio.create_task(accounts.parts.data_rights.runner.run_due())
        async with asyncio.timeout(20):
            await is_reading.wait()
        await ask_erasure(accounts, user)
        await accounts.parts.data_rights.runner.run_due()
        may_go_on.set()
        async with asyncio.timeout(20):
            await exporting
        assert list(accounts.bus.objects.kept) == [f"exports/{export.id}"]
        await work(accounts)
        assert accounts.bus.objects.kept == {}
        assert {(await job_of(accounts, user.id, at)).state for at in (0, 1)} == {
            DataJobState.DONE,
            DataJobState.FAILED,
        }


async def test_a_file_that_arrives_when_its_user_is_erased_is_found_and_removed(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, _ = await fill(accounts, services, "ada")
    export = await ask_export(accounts, user)
    real = accounts.bus.objects.put
    runner = accounts.parts.data_rights.runner

    async def late(key: str, data: Any) -> None:
        accounts.bus.objects.put = real
        await ask_erasure(accounts, user)
        await work(accounts)
        await real(key, data)

    accounts.bus.objects.put = late  # pyright: ignore[reportAttributeAccessIssue] - only for this test
    await runner.run_due()
    assert list(accounts.bus.objects.kept) == [f"exports/{export.id}"]
    assert await runner.remove_expired() == 1
    assert accounts.bus.objects.kept == {}
