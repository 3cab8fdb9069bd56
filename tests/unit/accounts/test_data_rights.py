"""Exports and erasures are taken from whom they may, go on after every fault, and end once."""

import asyncio
import hashlib
import io
import json
import zipfile
from typing import Any

import pytest
from parley_accounts.tables import bots, data_jobs, metadata, users
from parley_contracts import subjects
from parley_contracts.accounts import LOCAL_OWNER, ChangeUser, SessionTokens, User, UserState
from parley_contracts.bots import Bot, BotSettings, CreateBot
from parley_contracts.credentials import CheckKey, CreateKey, KeyCreated, RevokedKind
from parley_contracts.data_places import Ending, PlaceKind, kept_places, places_of
from parley_contracts.data_rights import (
    CreateErasure,
    CreateExport,
    DataJob,
    DataJobList,
    DataJobState,
    ExportedOriginal,
    ExportFile,
    ListDataJobs,
    ReadExport,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_contracts.provider_keys import ProviderKey, SetProviderKey
from sqlalchemy import select

from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, Accounts, as_user
from tests.unit.accounts.data_rights_rig import ScriptedServices

WAIT_S = 40.0
"""Longer than an erasure settles, or a lease lasts."""


@pytest.fixture
async def services(accounts: Accounts) -> ScriptedServices:
    scripted = ScriptedServices(accounts.bus)
    scripted.start()
    return scripted


async def ask_erasure(accounts: Accounts, user: User, **fields: Any) -> DataJob:
    request = CreateErasure(**as_user(user), **{"password": PASSWORD, **fields})
    return await accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, request, DataJob)


async def ask_export(accounts: Accounts, user: User) -> DataJob:
    return await accounts.ask(subjects.ACCOUNTS_CREATE_EXPORT, CreateExport(**as_user(user)), DataJob)


async def job_of(accounts: Accounts, user_id: str, at: int = 0) -> DataJob:
    request = ListDataJobs(**OWNER, user_id=user_id)
    return (await accounts.ask(subjects.ACCOUNTS_LIST_DATA_JOBS, request, DataJobList)).jobs[at]


async def work(accounts: Accounts, *, times: int = 60) -> None:
    """Work on what is due, and let time go by, until nothing is left to do."""
    query = select(data_jobs.c.id).where(data_jobs.c.due_at_ms.is_not(None))
    for _ in range(times):
        while await accounts.parts.data_rights.runner.run_due():
            pass
        if not await accounts.database.read(lambda connection: connection.execute(query).all()):
            return
        accounts.clock.advance(WAIT_S)
    raise AssertionError("there is still something to do")


async def rows_of(accounts: Accounts, user_id: str) -> dict[str, int]:
    """Return in which tables a user is named."""
    found: dict[str, int] = {}
    for table in metadata.sorted_tables:
        rows = await accounts.database.read(lambda c, t=table: c.execute(select(t)).all())
        naming = sum(user_id in [str(value) for value in row] for row in rows)
        found |= {table.name: naming} if naming else {}
    return found


# -- exports ------------------------------------------------------------------------------------------


async def downloaded(accounts: Accounts, user: User, job: DataJob) -> zipfile.ZipFile:
    request = ReadExport(**as_user(user), job_id=job.id)
    file = await accounts.ask(subjects.ACCOUNTS_READ_EXPORT, request, ExportFile)
    return zipfile.ZipFile(io.BytesIO(await accounts.bus.objects.get(file.key)))


async def test_an_export_holds_everything_once_with_a_manifest_that_is_right(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user = await accounts.user("ada", email="ada@example.org")
    services.fill(user.id)
    await accounts.bus.objects.put("k/1", b"an upload")
    services.originals[user.id] = [
        ExportedOriginal(document_id=one, key=key, name=name, size_bytes=9, sha256="")
        for one, key, name in (("d1", "k/1", "../../etc/passwd"), ("d2", "k/gone", "b.txt"))
    ]
    job = await ask_export(accounts, user)
    await work(accounts)
    done = await job_of(accounts, user.id)
    assert (done.id, done.state, done.report.missing) == (job.id, DataJobState.DONE, ("d2",))
    assert done.report.counts["memory"] == {"memory_messages": 5}
    assert done.report.counts["rag"] == {"rag_documents": 5, "uploads": 1}
    archive = await downloaded(accounts, user, done)
    assert archive.testzip() is None
    messages = [json.loads(line) for line in archive.read("memory_messages.jsonl").splitlines()]
    assert [one["text"] for one in messages] == [f"memory-{number}" for number in range(5)]
    assert archive.read("documents/d1/passwd") == b"an upload"
    (described,) = map(json.loads, archive.read("accounts_users.jsonl").splitlines())
    assert described["email"] == "ada@example.org"
    assert "password_hash" not in described
    manifest = json.loads(archive.read("manifest.json"))
    assert {one["name"] for one in manifest["files"]} == set(archive.namelist()) - {"manifest.json"}
    for one in manifest["files"]:
        data = archive.read(one["name"])
        assert (one["size_bytes"], one["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert "d2" in archive.read("README.txt").decode()


async def test_no_export_holds_what_proves_who_somebody_is(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user = await accounts.user("ada")
    made = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(user), name="k"), KeyCreated)
    session = await accounts.log_in("ada")
    await ask_export(accounts, user)
    await work(accounts)
    archive = await downloaded(accounts, user, await job_of(accounts, user.id))
    text = b"".join(archive.read(name) for name in archive.namelist()).decode()
    query = select(users.c.password_hash).filter_by(id=user.id)
    password_hash = await accounts.database.read(lambda c: c.execute(query).scalar_one())
    for secret in (
        made.key,
        hashlib.sha256(made.key.encode()).hexdigest(),
        session.refresh_token,
        password_hash,
    ):
        assert secret not in text
    assert "argon2" not in text


async def test_only_the_user_downloads_his_export_and_only_until_it_expires(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, other = await accounts.user("ada"), await accounts.user("bob")
    asked_by_admin = CreateExport(**OWNER, user_id=user.id)
    job = await accounts.ask(subjects.ACCOUNTS_CREATE_EXPORT, asked_by_admin, DataJob)
    assert (job.user_id, job.asked_by) == (user.id, LOCAL_OWNER)
    own = ReadExport(**as_user(user), job_id=job.id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_READ_EXPORT, own) is ErrorCode.NOT_FOUND
    await work(accounts)
    assert (await accounts.ask(subjects.ACCOUNTS_READ_EXPORT, own, ExportFile)).size_bytes > 0
    told = {
        await accounts.told(subjects.ACCOUNTS_READ_EXPORT, request)
        for request in (
            ReadExport(**as_user(other), job_id=job.id),
            ReadExport(**OWNER, job_id=job.id),
            ReadExport(**as_user(user), job_id="never-was"),
        )
    }
    assert [one.code for one in told] == [ErrorCode.NOT_FOUND]
    accounts.clock.advance(3 * 86_400 + 1)
    assert await accounts.refusal_code(subjects.ACCOUNTS_READ_EXPORT, own) is ErrorCode.NOT_FOUND
    assert accounts.bus.objects.kept
    assert await accounts.parts.data_rights.runner.remove_expired() == 1
    assert not accounts.bus.objects.kept


async def test_two_exports_asked_at_once_are_one_and_the_next_takes_the_place_of_its_file(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user = await accounts.user("ada")
    first, second = await asyncio.gather(ask_export(accounts, user), ask_export(accounts, user))
    assert first.id == second.id
    await work(accounts)
    third = await ask_export(accounts, user)
    assert third.id != first.id
    await work(accounts)
    assert list(accounts.bus.objects.kept) == [f"exports/{third.id}"]


async def test_an_export_waits_for_a_service_and_says_which_then_fails_at_its_deadline(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user = await accounts.user("ada")
    services.away = {"rag"}
    await ask_export(accounts, user)
    await accounts.parts.data_rights.runner.run_due()
    waiting = await job_of(accounts, user.id)
    assert waiting.state is DataJobState.RUNNING
    assert waiting.waits_for == "rag: That part of Parley is away."
    accounts.clock.advance(25 * 3600)
    await accounts.parts.data_rights.runner.run_due()
    failed = await job_of(accounts, user.id)
    assert failed.state is DataJobState.FAILED
    assert failed.waits_for == "rag: That part of Parley is away."
    services.away = set()
    assert (await ask_export(accounts, user)).id != failed.id
    await work(accounts)
    assert (await job_of(accounts, user.id)).state is DataJobState.DONE


# -- erasures: who may --------------------------------------------------------------------------------


async def test_ones_own_erasure_wants_the_password_or_a_fresh_login(accounts: Accounts) -> None:
    user = await accounts.user("ada")
    session = await accounts.log_in("ada")
    for fields in (
        {"password": None},
        {"password": "wrong", "session_id": session.session_id},
        {"password": None, "session_id": "never-was"},
    ):
        request = CreateErasure(**as_user(user), **fields)
        told = await accounts.told(subjects.ACCOUNTS_CREATE_ERASURE, request)
        assert (told.code, told.field) == (ErrorCode.UNAUTHENTICATED, "password")
    accounts.clock.advance(601)
    stale = CreateErasure(**as_user(user), session_id=session.session_id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, stale) is ErrorCode.UNAUTHENTICATED
    fresh: SessionTokens = await accounts.log_in("ada")
    job = await ask_erasure(accounts, user, password=None, session_id=fresh.session_id)
    assert job.state is DataJobState.WAITING


async def test_a_session_that_a_key_has_opened_proves_nothing(accounts: Accounts) -> None:
    user = await accounts.user("ada")
    made = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(user), name="k"), KeyCreated)
    session = await accounts.log_in_with_key(made.key)
    request = CreateErasure(**as_user(user), session_id=session.session_id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, request) is ErrorCode.UNAUTHENTICATED


async def test_somebody_elses_session_proves_nothing(accounts: Accounts) -> None:
    user, _ = await accounts.user("ada"), await accounts.user("bob")
    session = await accounts.log_in("bob")
    request = CreateErasure(**as_user(user), session_id=session.session_id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, request) is ErrorCode.UNAUTHENTICATED


async def test_higher_roles_oneself_and_the_last_owner_are_not_erased_by_an_admin(accounts: Accounts) -> None:
    admin, owner = await accounts.user("ann", Role.ADMIN), await accounts.user("olga", Role.OWNER)
    peer, member = await accounts.user("art", Role.ADMIN), await accounts.user("mia")
    codes = {
        user.name: await accounts.refusal_code(
            subjects.ACCOUNTS_CREATE_ERASURE, CreateErasure(**as_user(admin), user_id=user.id)
        )
        for user in (owner, peer, admin)
    }
    assert codes == dict.fromkeys(("olga", "art", "ann"), ErrorCode.FORBIDDEN)
    of_member = CreateErasure(**as_user(member), user_id=peer.id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, of_member) is ErrorCode.NOT_FOUND
    local = CreateErasure(**as_user(owner), user_id=LOCAL_OWNER)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_ERASURE, local) is ErrorCode.FORBIDDEN
    change = ChangeUser(**as_user(owner), user_id=LOCAL_OWNER, state=UserState.DISABLED)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, change, User)
    with pytest.raises(ParleyError) as refused:
        await ask_erasure(accounts, owner)
    assert refused.value.code is ErrorCode.CONFLICT
    taken = CreateErasure(**as_user(admin), user_id=member.id)
    assert (await accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, taken, DataJob)).asked_by == admin.id


async def test_who_is_to_be_erased_is_out_at_once_and_does_not_come_back(accounts: Accounts) -> None:
    user = await accounts.user("ada")
    made = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(user), name="k"), KeyCreated)
    session = await accounts.log_in("ada")
    await ask_erasure(accounts, user)
    assert (await accounts.refresh_refusal(session.refresh_token)).code is ErrorCode.UNAUTHENTICATED
    check = CheckKey(key=made.key)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CHECK_KEY, check) is ErrorCode.UNAUTHENTICATED
    with pytest.raises(ParleyError):
        await accounts.log_in("ada")
    assert {(RevokedKind.USER, user.id), (RevokedKind.KEY, made.described.id)} <= {
        *await accounts.revocations()
    }
    enable = ChangeUser(**OWNER, user_id=user.id, state=UserState.ACTIVE)
    assert await accounts.refusal_code(subjects.ACCOUNTS_CHANGE_USER, enable) is ErrorCode.CONFLICT


# -- erasures: what they do ---------------------------------------------------------------------------


async def fill(accounts: Accounts, services: ScriptedServices, name: str) -> tuple[User, Bot]:
    user = await accounts.user(name)
    services.fill(user.id)
    made = CreateBot(**as_user(user), settings=BotSettings(name="Guide"))
    bot = await accounts.ask(subjects.ACCOUNTS_CREATE_BOT, made, Bot)
    key = SetProviderKey(**as_user(user), bot_id=bot.id, provider="openai", key="sk-0123456789")
    await accounts.ask(subjects.ACCOUNTS_SET_PROVIDER_KEY, key, ProviderKey)
    await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, CreateKey(**as_user(user), name="k"), KeyCreated)
    await accounts.log_in(name)
    return user, bot


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


async def test_two_erasures_asked_at_once_are_one(accounts: Accounts, services: ScriptedServices) -> None:
    user = await accounts.user("ada")
    request = CreateErasure(**OWNER, user_id=user.id)
    made = await asyncio.gather(
        *(accounts.ask(subjects.ACCOUNTS_CREATE_ERASURE, request, DataJob) for _ in range(3))
    )
    assert len({job.id for job in made}) == 1


async def test_an_erasure_stops_the_export_that_is_under_way(
    accounts: Accounts, services: ScriptedServices
) -> None:
    """The file that the export puts all the same is removed by the second round at the latest."""
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
    assert [one.state for one in [await job_of(accounts, user.id, at) for at in (0, 1)]] in (
        [DataJobState.DONE, DataJobState.FAILED],
        [DataJobState.FAILED, DataJobState.DONE],
    )


# -- faults -------------------------------------------------------------------------------------------

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
    services.fault = lambda *_: None
    assert await runner.run_due()
    await work(accounts)
    done = await job_of(accounts, user.id)
    assert done.state is DataJobState.DONE
    assert done.attempts > held.attempts


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
    listed = {one.name for one in places_of("accounts", PlaceKind.TABLE) if one.ending is Ending.ERASED}
    assert listed <= set(metadata.tables)
