"""Keys at providers: sealed for one row, listed by their last four characters, in no file and no answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from parley_accounts.provider_keys import purpose_of
from parley_accounts.tables import STORE, provider_keys
from parley_contracts import subjects
from parley_contracts.bots import Bot, BotSettings, CreateBot, DeleteBot
from parley_contracts.errors import ErrorCode
from parley_contracts.provider_keys import (
    DeleteProviderKey,
    ListProviderKeys,
    ProviderKey,
    ProviderKeyList,
    SetProviderKey,
)
from parley_contracts.replies import Done
from parley_envelope.envelope import Envelope, SealError
from sqlalchemy import select

from tests.unit.accounts.accounts_rig import KEK, OWNER, Accounts, as_user, open_accounts
from tests.unit.accounts.test_secrets_at_rest import everything, forms, grepped

KEY = "sk-proj-this-is-nobodys-business-wxyz"


async def new_bot(accounts: Accounts, asking: dict[str, Any] = OWNER) -> Bot:
    request = CreateBot(**asking, settings=BotSettings(name="Guide"))
    return await accounts.ask(subjects.ACCOUNTS_CREATE_BOT, request, Bot)


async def set_key(accounts: Accounts, bot: Bot, provider: str = "openai", key: str = KEY) -> ProviderKey:
    request = SetProviderKey(**OWNER, bot_id=bot.id, provider=provider, key=key)
    return await accounts.ask(subjects.ACCOUNTS_SET_PROVIDER_KEY, request, ProviderKey)


async def rows_of(accounts: Accounts) -> list[Any]:
    query = select(provider_keys).order_by(provider_keys.c.provider)
    return list(await accounts.database.read(lambda connection: connection.execute(query).all()))


async def test_a_key_is_told_by_its_last_four_characters_only(accounts: Accounts) -> None:
    bot = await new_bot(accounts)
    made = await set_key(accounts, bot)
    listing = ListProviderKeys(**OWNER, bot_id=bot.id)
    listed = await accounts.ask(subjects.ACCOUNTS_LIST_PROVIDER_KEYS, listing, ProviderKeyList)
    assert listed.keys == (made,)
    assert made.last_four == "wxyz"
    request = SetProviderKey(**OWNER, bot_id=bot.id, provider="openai", key=KEY)
    for told in (made.model_dump_json(), listed.model_dump_json(), repr(request), str(request)):
        assert KEY not in told
        assert KEY[:-4] not in told


async def test_a_key_is_replaced_and_forgotten(accounts: Accounts) -> None:
    bot = await new_bot(accounts)
    await set_key(accounts, bot)
    (first,) = await rows_of(accounts)
    await set_key(accounts, bot, key="sk-another-key-1234")
    (second,) = await rows_of(accounts)
    assert (second.last_four, first.id != second.id) == ("1234", True)
    forget = DeleteProviderKey(**OWNER, bot_id=bot.id, provider="openai")
    await accounts.ask(subjects.ACCOUNTS_DELETE_PROVIDER_KEY, forget, Done)
    assert await rows_of(accounts) == []
    refusal = await accounts.refusal(subjects.ACCOUNTS_DELETE_PROVIDER_KEY, forget)
    assert (refusal.code, refusal.field) == (ErrorCode.NOT_FOUND, "provider")


async def test_a_key_goes_with_its_bot(accounts: Accounts) -> None:
    bot = await new_bot(accounts)
    await set_key(accounts, bot)
    await accounts.ask(subjects.ACCOUNTS_DELETE_BOT, DeleteBot(**OWNER, bot_id=bot.id), Done)
    assert await rows_of(accounts) == []


async def test_what_is_sealed_for_a_row_opens_in_no_other(accounts: Accounts) -> None:
    bot = await new_bot(accounts)
    await set_key(accounts, bot, "anthropic")
    await set_key(accounts, bot, "openai", "sk-another-key-1234")
    one, other = await rows_of(accounts)
    envelope = Envelope(KEK)
    assert envelope.open(one.sealed_key, purpose=purpose_of(one)) == KEY.encode()
    with pytest.raises(SealError, match="changed"):
        envelope.open(one.sealed_key, purpose=purpose_of(other))
    with pytest.raises(SealError, match="another key"):
        Envelope(bytes(32)).open(one.sealed_key, purpose=purpose_of(one))


async def test_keys_of_anothers_bot_are_found_by_nobody(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    bot = await new_bot(accounts, as_user(ada))
    of: dict[str, Any] = {**OWNER, "bot_id": bot.id}
    for subject, request in (
        (subjects.ACCOUNTS_SET_PROVIDER_KEY, SetProviderKey(**of, provider="openai", key=KEY)),
        (subjects.ACCOUNTS_LIST_PROVIDER_KEYS, ListProviderKeys(**of)),
        (subjects.ACCOUNTS_DELETE_PROVIDER_KEY, DeleteProviderKey(**of, provider="openai")),
    ):
        refusal = await accounts.refusal(subject, request)
        assert (refusal.code, refusal.field) == (ErrorCode.NOT_FOUND, "bot_id")


async def test_a_bot_has_so_many_keys_and_no_more(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_accounts.provider_keys.MAX_KEYS", 1)
    bot = await new_bot(accounts)
    await set_key(accounts, bot)
    await set_key(accounts, bot)
    request = SetProviderKey(**OWNER, bot_id=bot.id, provider="anthropic", key=KEY)
    assert await accounts.refusal_code(subjects.ACCOUNTS_SET_PROVIDER_KEY, request) is ErrorCode.CONFLICT


async def test_no_row_holds_a_key(accounts: Accounts) -> None:
    await set_key(accounts, await new_bot(accounts))
    kept = await accounts.database.read(everything)
    assert [form for form in forms(KEY.encode()) | forms(KEK) if form in kept] == []
    assert b"'wxyz'" in kept


async def test_the_files_grepped_hold_no_key(tmp_path: Path) -> None:
    secrets = forms(KEY.encode()) | forms(KEY[:-4].encode()) | forms(KEK)
    async with open_accounts(STORE.url(None, tmp_path)) as accounts:
        bot = await new_bot(accounts)
        await set_key(accounts, bot)
        await set_key(accounts, bot)
        assert await asyncio.to_thread(grepped, tmp_path, secrets) == []
    assert await asyncio.to_thread(grepped, tmp_path, secrets) == []
    assert await asyncio.to_thread(grepped, tmp_path, {b"wxyz"}) == ["accounts.sqlite"]
