"""The key-encryption key is replaced in steps: nothing stops meanwhile, and a stopped rotation goes on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from parley_accounts.kek_file import read_or_make_key
from parley_accounts.key_ring import KEK_ROW, KeyRing
from parley_accounts.provider_keys import purpose_of
from parley_accounts.tables import data_keys, installation, provider_keys, signing_keys
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode
from parley_contracts.provider_keys import KekRotation, RotateKek
from parley_envelope.envelope import Envelope, SealError, key_name, parse_key
from sqlalchemy import URL, delete, select

from tests.unit.accounts.accounts_rig import OWNER, Accounts, open_accounts
from tests.unit.accounts.test_provider_keys import KEY, new_bot, rows_of, set_key

PROVIDERS = [f"p{number}" for number in range(7)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "secrets"
    read_or_make_key(made)
    return made


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def rights_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def key_in(folder: Path) -> bytes:
    return parse_key((folder / "kek.key").read_text())


async def step(accounts: Accounts, **fields: Any) -> KekRotation:
    return await accounts.ask(subjects.ACCOUNTS_ROTATE_KEK, RotateKek(**OWNER, **fields), KekRotation)


async def rotated(accounts: Accounts) -> KekRotation:
    found = await step(accounts, begins=True, limit=2)
    while not found.is_done:
        found = await step(accounts, limit=2)
    return found


async def sealed_by(accounts: Accounts) -> set[str]:
    """Return the names of the keys that anything is sealed by."""
    keys = select(signing_keys.c.private_key).where(signing_keys.c.private_key.is_not(None))
    texts = await accounts.database.read(
        lambda connection: [
            *connection.execute(keys).scalars(),
            *connection.execute(select(provider_keys.c.sealed_key)).scalars(),
            *connection.execute(select(data_keys.c.sealed_key)).scalars(),
        ]
    )
    return {key_name(text) for text in texts}


async def require_all_open(accounts: Accounts, folder: Path, keys: int) -> None:
    envelope = Envelope(key_in(folder))
    rows = await rows_of(accounts)
    assert len(rows) == keys
    assert {envelope.open(row.sealed_key, purpose=purpose_of(row)) for row in rows} == {KEY.encode()}
    await accounts.claims(await accounts.log_in_with_key())


async def test_after_a_rotation_the_new_key_opens_everything_and_the_old_one_nothing(
    url: URL, folder: Path
) -> None:
    old = key_in(folder)
    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as accounts:
        bot = await new_bot(accounts)
        for provider in PROVIDERS:
            await set_key(accounts, bot, provider)
        done = await rotated(accounts)
        assert key_in(folder) != old
        assert done.key_name == Envelope(key_in(folder)).name
        assert await sealed_by(accounts) == {done.key_name}
        assert files_in(folder) == [folder / "kek.key"]
        assert rights_of(folder / "kek.key") == 0o600
        await require_all_open(accounts, folder, len(PROVIDERS))
        with pytest.raises(SealError):
            Envelope(old).open((await rows_of(accounts))[0].sealed_key, purpose="any")
    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as again:
        await require_all_open(again, folder, len(PROVIDERS))


async def test_a_rotation_that_was_stopped_goes_on_where_it_stands(url: URL, folder: Path) -> None:
    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as accounts:
        bot = await new_bot(accounts)
        for provider in PROVIDERS:
            await set_key(accounts, bot, provider)
        first = await step(accounts, begins=True, limit=3)
        assert (first.resealed, first.left, first.is_done) == (3, 8, False)
    # The service has been killed since; what it had is what the files and rows say.
    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as accounts:
        await accounts.claims(await accounts.log_in_with_key())
        second = await step(accounts, begins=True, limit=100)
        assert (second.key_name, second.resealed, second.is_done) == (first.key_name, 8, True)
        await require_all_open(accounts, folder, len(PROVIDERS))


async def test_a_rotation_that_was_stopped_before_its_file_took_its_place_is_ended(
    url: URL, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise OSError("killed")

    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as accounts:
        await set_key(accounts, await new_bot(accounts))
        with monkeypatch.context() as patched:
            patched.setattr(KeyRing, "settle", killed)
            assert await accounts.refusal_code(
                subjects.ACCOUNTS_ROTATE_KEK, RotateKek(**OWNER, begins=True)
            ) in {ErrorCode.INTERNAL, ErrorCode.UNAVAILABLE}
        assert len(files_in(folder)) == 2
    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as accounts:
        ended = await step(accounts, begins=True)
        assert (ended.resealed, ended.is_done) == (0, True)
        assert ended.key_name == Envelope(key_in(folder)).name
        assert len(files_in(folder)) == 1
        await require_all_open(accounts, folder, 1)


async def test_keys_are_set_while_it_rotates_also_by_another_process_that_knows_only_the_old_one(
    url: URL, folder: Path
) -> None:
    async with (
        open_accounts(url, ring=KeyRing.in_folder(folder)) as one,
        open_accounts(url, ring=KeyRing.in_folder(folder)) as other,
    ):
        bot = await new_bot(one)

        async def set_all(accounts: Accounts, providers: list[str]) -> None:
            for provider in providers:
                await set_key(accounts, bot, provider)

        await set_all(one, ["before"])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(set_all(other, PROVIDERS[:4]))
            tasks.create_task(set_all(one, PROVIDERS[4:]))
            rotating = [tasks.create_task(rotated(one)), tasks.create_task(rotated(other))]
        name = Envelope(key_in(folder)).name
        # Either may have begun a rotation of its own after the other's end; one more call ends what is left.
        last = await rotated(other)
        assert name in {task.result().key_name for task in rotating}
        assert await sealed_by(one) == {last.key_name}
        await require_all_open(one, folder, len(PROVIDERS) + 1)


async def test_keys_of_the_environment_are_rotated_by_naming_the_old_one_beside_the_new(url: URL) -> None:
    old, new = bytes(range(32)), bytes(range(1, 33))
    async with open_accounts(url, ring=KeyRing([old])) as accounts:
        await set_key(accounts, await new_bot(accounts))
        refusal = await accounts.refusal(subjects.ACCOUNTS_ROTATE_KEK, RotateKek(**OWNER, begins=True))
        assert (refusal.code, "PARLEY_KEK_OLD" in refusal.message) == (ErrorCode.CONFLICT, True)
    async with open_accounts(url, ring=KeyRing([new, old])) as accounts:
        await set_key(accounts, await new_bot(accounts), "other")
        done = await rotated(accounts)
        assert (done.key_name, await sealed_by(accounts)) == (Envelope(new).name, {Envelope(new).name})
    async with open_accounts(url, ring=KeyRing([new])) as accounts:
        await accounts.claims(await accounts.log_in_with_key())


async def test_a_service_without_the_key_does_not_start(url: URL) -> None:
    async with open_accounts(url):
        pass
    with pytest.raises(SealError, match="another key"):
        async with open_accounts(url, ring=KeyRing([bytes(32)])):
            pass


async def test_who_sealed_before_there_were_names_is_recognised(url: URL, folder: Path) -> None:
    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as accounts:
        forget = delete(installation).where(installation.c.name == KEK_ROW)
        await accounts.database.write(lambda connection: connection.execute(forget).rowcount)
    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as accounts:
        assert (await rotated(accounts)).is_done
        await accounts.claims(await accounts.log_in_with_key())


async def test_a_secret_that_cannot_be_opened_stops_the_rotation_and_loses_no_key(
    url: URL, folder: Path
) -> None:
    async with open_accounts(url, ring=KeyRing.in_folder(folder)) as accounts:
        await set_key(accounts, await new_bot(accounts))
        changed = provider_keys.update().values(id="another")
        await accounts.database.write(lambda connection: connection.execute(changed).rowcount)
        request = RotateKek(**OWNER, begins=True)
        assert await accounts.refusal_code(subjects.ACCOUNTS_ROTATE_KEK, request) is ErrorCode.INTERNAL
        assert len(files_in(folder)) == 2
