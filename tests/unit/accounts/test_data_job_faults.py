"""Jobs go on after every fault and end once, whoever works on them."""

import asyncio
import re
from typing import Any

import pytest
from parley_accounts.account_rows import erase_account
from parley_accounts.data_jobs import DataJobs, LeasedJob
from parley_contracts.data_places import Ending, PlaceKind, places_of
from parley_contracts.data_rights import (
    DataJobState,
)
from parley_contracts.errors import ErrorCode, ParleyError
from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from tests.unit.accounts.accounts_rig import Accounts
from tests.unit.accounts.data_jobs_steps import (
    ask_erasure,
    ask_export,
    downloaded,
    fill,
    job_of,
    work,
)
from tests.unit.accounts.data_rights_rig import ScriptedServices, no_fault

REQUESTS = 12
"""More than an erasure or an export of this rig asks in its first round."""


class Killed(BaseException):
    """The process dies: nothing that would clean up or note anything runs any more."""


@pytest.mark.parametrize("kind", ["erasure", "export"])
@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
async def test_a_job_goes_on_and_ends_once_whichever_request_its_process_dies_at(
    accounts: Accounts, services: ScriptedServices, kind: str, is_after: bool
) -> None:
    ended = 0
    for number in range(1, REQUESTS):
        user = await accounts.user(f"ada-{number}")
        services.fill(user.id)
        services.requests, seen = 0, asyncio.Event()

        def dies(_: str, at: int, after: bool, number: int = number, seen: asyncio.Event = seen) -> None:
            if (at, after) == (number, is_after) and not seen.is_set():
                seen.set()
                raise ParleyError(ErrorCode.INTERNAL, "killed", retryable=True)

        services.fault = dies
        await (ask_erasure if kind == "erasure" else ask_export)(accounts, user)
        await work(accounts)
        job = await job_of(accounts, user.id)
        assert job.state is DataJobState.DONE, (number, job)
        assert bool(services.left(user.id)) == (kind == "export")
        ended += seen.is_set()
        if kind == "export":
            archive = await downloaded(accounts, user, job)
            assert len(archive.read("memory_messages.jsonl").splitlines()) == 5
            assert job.report.counts["memory"] == {"memory_messages": 5}
    assert ended >= 6


@pytest.mark.parametrize("kind", ["erasure", "export"])
async def test_the_job_of_a_process_that_died_is_taken_up_when_its_lease_is_over(
    accounts: Accounts, services: ScriptedServices, kind: str
) -> None:
    user = await accounts.user("ada")
    services.fill(user.id)
    is_asked = asyncio.Event()

    def hangs(_: str, at: int, __: bool) -> None:
        if at == 3:
            is_asked.set()
            raise Killed

    services.fault = hangs
    await (ask_erasure if kind == "erasure" else ask_export)(accounts, user)
    runner = accounts.parts.data_rights.runner
    with pytest.raises(BaseExceptionGroup, match="unhandled"):
        await runner.run_due()
    assert not await runner.run_due()
    held = await job_of(accounts, user.id)
    accounts.clock.advance(16)
    services.fault = no_fault
    assert await runner.run_due()
    await work(accounts)
    done = await job_of(accounts, user.id)
    assert done.state is DataJobState.DONE
    assert done.attempts > held.attempts


async def test_an_erasure_whose_transaction_is_deadlocked_counts_once(
    accounts: Accounts, services: ScriptedServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ada, _), (bob, _) = await fill(accounts, services, "ada"), await fill(accounts, services, "bob")
    await ask_erasure(accounts, ada)
    await work(accounts)
    note_in, deadlocks = DataJobs.note_in, iter(range(2))

    def lose(jobs: DataJobs, connection: Connection, job: LeasedJob, **values: Any) -> None:
        note_in(jobs, connection, job, **values)
        if "accounts" in job.report.counts and next(deadlocks, None) is not None:
            raise DBAPIError("UPDATE", {}, DeadlockDetected())

    monkeypatch.setattr(DataJobs, "note_in", lose)
    await ask_erasure(accounts, bob)
    await work(accounts)
    assert next(deadlocks, None) is None
    counted = (await job_of(accounts, bob.id)).report.counts
    assert counted["accounts"]["accounts_sessions"] == 1
    assert counted == (await job_of(accounts, ada.id)).report.counts


async def test_a_service_that_never_ends_does_not_hold_an_erasure_beyond_its_deadline(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user = await accounts.user("ada")

    def fills_again(service: str, at: int, is_after: bool) -> None:
        if service == "memory" and not is_after:
            services.rows["memory"][user.id] = ["again"] * 3
            accounts.clock.advance(3600)

    services.fill(user.id)
    services.fault = fills_again
    await ask_erasure(accounts, user)
    await work(accounts)
    job = await job_of(accounts, user.id)
    assert (job.state, job.waits_for) == (DataJobState.FAILED, "memory: more parts")
    assert services.asked["rag"] == 0


async def test_two_runners_work_on_two_jobs_and_never_on_one(
    accounts: Accounts, services: ScriptedServices
) -> None:
    people = [await accounts.user(f"u{number}") for number in range(4)]
    for user in people:
        services.fill(user.id)
        await ask_export(accounts, user)
    runner = accounts.parts.data_rights.runner
    worked = await asyncio.gather(*(runner.run_due() for _ in range(6)))
    assert sum(worked) == 4
    jobs = [await job_of(accounts, user.id) for user in people]
    assert [(job.state, job.attempts) for job in jobs] == [(DataJobState.DONE, 1)] * 4


async def test_every_table_that_is_erased_by_rows_is_emptied_by_the_registry(accounts: Accounts) -> None:
    """What others add to the registry needs no line elsewhere."""
    emptied: set[str] = set()

    def erase(connection: Connection) -> None:
        def note(*told: Any) -> None:
            emptied.update(re.findall(r"DELETE FROM (\w+)", told[2]))

        event.listen(connection, "before_cursor_execute", note)
        erase_account(connection, "nobody", 0)

    await accounts.database.write(erase)
    assert emptied == {
        one.name for one in places_of("accounts", PlaceKind.TABLE) if one.ending is Ending.ERASED
    }
