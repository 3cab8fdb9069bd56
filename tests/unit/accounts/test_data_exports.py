"""Exports hold everything once and no secret, and are the user's alone."""

import asyncio
import hashlib
import json
from typing import Any

import pytest
from parley_accounts.tables import users
from parley_contracts import subjects
from parley_contracts.accounts import LOCAL_OWNER
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_contracts.data_rights import (
    CreateExport,
    DataJob,
    DataJobState,
    ExportedOriginal,
    ExportFile,
    ReadExport,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import NoticeKind
from parley_contracts.policy import Permission
from parley_contracts.rag import sealed_key
from parley_envelope import DataKeys, ExportFiles, Originals, SealError
from sqlalchemy import select

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user
from tests.unit.accounts.data_jobs_steps import (
    ask_export,
    downloaded,
    job_of,
    work,
)
from tests.unit.accounts.data_rights_rig import ScriptedServices
from tests.unit.accounts.notices_rig import notices_of


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
    (told,) = await notices_of(accounts, user)
    assert (told.kind, told.facts.export_id) == (NoticeKind.EXPORT_READY, job.id)
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


async def test_a_key_with_scopes_makes_no_export_of_its_user_and_downloads_none(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user = await accounts.user("ada")
    job = await ask_export(accounts, user)
    await work(accounts)
    by_key = as_user(user, scopes=(Permission.ACCOUNT_READ, Permission.ACCOUNT_WRITE))
    for subject, request in (
        (subjects.ACCOUNTS_CREATE_EXPORT, CreateExport(**by_key)),
        (subjects.ACCOUNTS_CREATE_EXPORT, CreateExport(**by_key, user_id=user.id)),
        (subjects.ACCOUNTS_READ_EXPORT, ReadExport(**by_key, job_id=job.id)),
    ):
        assert await accounts.refusal_code(subject, request) is ErrorCode.FORBIDDEN


async def test_an_export_lies_sealed_in_the_store_and_opens_for_its_user_alone(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user, other = await accounts.user("ada"), await accounts.user("bob")
    services.fill(user.id)
    job = await ask_export(accounts, user)
    await work(accounts)
    ((key, kept),) = accounts.bus.objects.kept.items()
    assert key == f"exports/{job.id}"
    assert not any(planted in kept for planted in (b"PK\x03\x04", b"memory_messages", b"README"))
    assert "memory_messages.jsonl" in (await downloaded(accounts, user, job)).namelist()
    files = ExportFiles(accounts.bus.objects, DataKeys(accounts.parts.data_keys.tell))
    content = await files.open(other.id, job.id)
    with pytest.raises(SealError):
        await anext(content.span(0, 1))


async def test_what_a_failed_export_has_put_is_removed_also_when_the_store_was_away(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user = await accounts.user("ada")
    job = await ask_export(accounts, user)
    objects = accounts.bus.objects
    put, delete = objects.put, objects.delete

    async def puts_and_dies(key: str, data: Any) -> None:
        await put(key, data)
        raise ParleyError(ErrorCode.UNAVAILABLE, "away", retryable=True)

    async def is_away(key: str) -> None:
        raise ParleyError(ErrorCode.UNAVAILABLE, "away", retryable=True)

    objects.put, objects.delete = puts_and_dies, is_away  # pyright: ignore[reportAttributeAccessIssue] - only here
    runner = accounts.parts.data_rights.runner
    await runner.run_due()
    accounts.clock.advance(25 * 3600)
    await runner.run_due()
    assert (await job_of(accounts, user.id)).state is DataJobState.FAILED
    with pytest.raises(ParleyError):
        await runner.remove_expired()
    assert list(objects.kept) == [f"exports/{job.id}"]
    objects.delete = delete
    assert await runner.remove_expired() == 1
    assert objects.kept == {}


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


async def test_sealed_uploads_are_opened_and_one_that_does_not_open_is_told_as_missing(
    accounts: Accounts, services: ScriptedServices
) -> None:
    user = await accounts.user("ada")
    services.fill(user.id)
    originals = Originals(accounts.bus.objects, DataKeys(accounts.parts.data_keys.tell))
    listed: list[ExportedOriginal] = []
    # The second was sealed after its row was told, the third was changed in the store.
    for number, is_sealed in ((1, True), (2, False), (3, True)):
        content = f"upload {number} ".encode() * 9000
        sha256, document_id = hashlib.sha256(content).hexdigest(), f"d{number}"
        await originals.put(user.id, document_id, sha256, content)
        listed.append(
            ExportedOriginal(
                document_id=document_id,
                key=f"{user.id}/{document_id}",
                name=f"{number}.txt",
                size_bytes=len(content),
                sha256=sha256,
                is_sealed=is_sealed,
            )
        )
    services.originals[user.id] = listed
    damaged = sealed_key(user.id, "d3")
    accounts.bus.objects.kept[damaged] = accounts.bus.objects.kept[damaged][:-1] + b"?"
    await ask_export(accounts, user)
    await work(accounts)
    done = await job_of(accounts, user.id)
    assert (done.state, done.report.missing) == (DataJobState.DONE, ("d3",))
    archive = await downloaded(accounts, user, done)
    for number in (1, 2):
        assert archive.read(f"documents/d{number}/{number}.txt") == f"upload {number} ".encode() * 9000
