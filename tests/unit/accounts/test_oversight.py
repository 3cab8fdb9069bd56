"""Who looks after users sees everybody's keys and bots, and may block the bots of lower roles."""

import asyncio
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import ListUsers, User, UserList, UserState
from parley_contracts.bots import Bot, BotChanged, BotSettings, ChangeBot, CreateBot, ReadBot, ReadPublicBot
from parley_contracts.credentials import CreateKey, KeyCreated, RevokeKey
from parley_contracts.errors import ErrorCode
from parley_contracts.oversight import (
    BlockBot,
    ListAllBots,
    ListAllKeys,
    OwnedBotList,
    OwnedBotSummary,
    OwnedKey,
    OwnedKeyList,
    ReadAnyBot,
)
from parley_contracts.policy import Role, may_manage
from parley_contracts.replies import Done
from parley_messaging.bus import Delivery

from tests.unit.accounts.accounts_rig import OWNER, OWNER_KEY, Accounts, as_user

SETTINGS = BotSettings(name="Guide")


async def key_of(accounts: Accounts, user: User) -> KeyCreated:
    request = CreateKey(**as_user(user), name="k")
    return await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)


async def bot_of(accounts: Accounts, asking: dict[str, Any]) -> Bot:
    return await accounts.ask(subjects.ACCOUNTS_CREATE_BOT, CreateBot(**asking, settings=SETTINGS), Bot)


async def listed_keys(accounts: Accounts, limit: int, **fields: Any) -> list[OwnedKey]:
    found: list[OwnedKey] = []
    cursor: str | None = None
    while True:
        request = ListAllKeys(**OWNER, limit=limit, cursor=cursor, **fields)
        page = await accounts.ask(subjects.ACCOUNTS_LIST_ALL_KEYS, request, OwnedKeyList)
        assert len(page.keys) <= limit
        found += page.keys
        if (cursor := page.next_cursor) is None:
            return found


async def listed_bots(accounts: Accounts, **fields: Any) -> list[OwnedBotSummary]:
    found: list[OwnedBotSummary] = []
    cursor: str | None = None
    while True:
        request = ListAllBots(**OWNER, limit=2, cursor=cursor, **fields)
        page = await accounts.ask(subjects.ACCOUNTS_LIST_ALL_BOTS, request, OwnedBotList)
        found += page.bots
        if (cursor := page.next_cursor) is None:
            return found


async def test_everybodys_keys_are_listed_with_whose_they_are_and_how_they_begin(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    made = {one.described.id: one.key for one in [await key_of(accounts, user) for user in (ada, ada, bob)]}
    gone = await key_of(accounts, bob)
    revoke = RevokeKey(**OWNER, key_id=gone.described.id)
    await accounts.ask(subjects.ACCOUNTS_REVOKE_KEY, revoke, Done)

    keys = await listed_keys(accounts, 2)
    assert {one.id for one in keys} == {*made, "owner"}
    for one in keys:
        assert (one.prefix is None) == (one.id == "owner")
        if one.prefix is not None:
            assert made[one.id].startswith(one.prefix)
            assert made[one.id].removeprefix(one.prefix) not in one.model_dump_json()
        assert OWNER_KEY not in one.model_dump_json()
    of_ada = await listed_keys(accounts, 1, user_id=ada.id)
    assert {one.user_name for one in of_ada} == {"ada"}
    assert len(of_ada) == 2


async def test_everybodys_bots_are_listed_and_read(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    bots = [await bot_of(accounts, as_user(user)) for user in (ada, ada, bob)]
    assert {one.id for one in await listed_bots(accounts)} == {one.id for one in bots}
    of_bob = await listed_bots(accounts, user_id=bob.id)
    assert [(one.id, one.owner_name) for one in of_bob] == [(bots[2].id, "bob")]
    admin = await accounts.user("admin", Role.ADMIN)
    request = ReadAnyBot(**as_user(admin), bot_id=bots[0].id)
    assert await accounts.ask(subjects.ACCOUNTS_READ_ANY_BOT, request, Bot) == bots[0]
    told = await accounts.told(subjects.ACCOUNTS_READ_ANY_BOT, ReadAnyBot(**as_user(admin), bot_id="x"))
    assert (told.code, told.field) == (ErrorCode.NOT_FOUND, "bot_id")


@pytest.mark.parametrize("cursor", ["x", "1", "1.", ".x", "-1.x", "9" * 16 + ".x"])
async def test_a_cursor_of_something_else_is_refused_by_name(accounts: Accounts, cursor: str) -> None:
    for subject, request in (
        (subjects.ACCOUNTS_LIST_ALL_KEYS, ListAllKeys(**OWNER, cursor=cursor)),
        (subjects.ACCOUNTS_LIST_ALL_BOTS, ListAllBots(**OWNER, cursor=cursor)),
    ):
        told = await accounts.told(subject, request)
        assert (told.code, told.field) == (ErrorCode.INVALID_REQUEST, "cursor")


async def test_a_blocked_bot_is_nobodys_to_ask_whatever_its_owner_sets(accounts: Accounts) -> None:
    ada, admin = await accounts.user("ada"), await accounts.user("admin", Role.ADMIN)
    bot = await bot_of(accounts, as_user(ada))
    told: list[BotChanged] = []

    async def hear(delivery: Delivery) -> None:
        told.append(BotChanged.model_validate_json(delivery.data))

    await accounts.revocations()
    await accounts.bus.subscribe(subjects.BOT_CHANGED, hear)
    public = ReadPublicBot(bot_id=bot.id)
    assert await accounts.ask(subjects.ACCOUNTS_READ_PUBLIC_BOT, public, Bot)

    async def block(is_blocked: bool) -> Bot:
        request = BlockBot(**as_user(admin), bot_id=bot.id, is_blocked=is_blocked)
        return await accounts.ask(subjects.ACCOUNTS_BLOCK_BOT, request, Bot)

    assert (await block(True)).is_blocked
    assert (await block(True)).is_blocked
    await accounts.revocations()
    assert [one.bot_id for one in told] == [bot.id]
    assert await accounts.refusal_code(subjects.ACCOUNTS_READ_PUBLIC_BOT, public) is ErrorCode.NOT_FOUND
    change = ChangeBot(
        **as_user(ada), bot_id=bot.id, if_version=1, settings=BotSettings(name="Again", is_enabled=True)
    )
    assert (await accounts.ask(subjects.ACCOUNTS_CHANGE_BOT, change, Bot)).is_blocked
    assert await accounts.refusal_code(subjects.ACCOUNTS_READ_PUBLIC_BOT, public) is ErrorCode.NOT_FOUND
    own = ReadBot(**as_user(ada), bot_id=bot.id)
    assert (await accounts.ask(subjects.ACCOUNTS_READ_BOT, own, Bot)).is_blocked
    assert [one.id for one in await listed_bots(accounts, is_blocked=True)] == [bot.id]
    assert await listed_bots(accounts, is_blocked=False) == []
    assert not (await block(False)).is_blocked
    assert await accounts.ask(subjects.ACCOUNTS_READ_PUBLIC_BOT, public, Bot)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
async def test_bots_of_lower_roles_only_are_blocked_except_by_owners(accounts: Accounts, role: Role) -> None:
    actor = await accounts.user("actor", role)
    for other in (Role.MEMBER, Role.ADMIN, Role.OWNER):
        bot = await bot_of(accounts, as_user(await accounts.user(f"a-{other}", other)))
        request = BlockBot(**as_user(actor), bot_id=bot.id, is_blocked=True)
        if may_manage(role, other):
            assert (await accounts.ask(subjects.ACCOUNTS_BLOCK_BOT, request, Bot)).is_blocked
        else:
            assert await accounts.refusal_code(subjects.ACCOUNTS_BLOCK_BOT, request) is ErrorCode.FORBIDDEN


async def test_nobody_takes_back_the_block_on_his_own_bot_that_somebody_above_him_has_set(
    accounts: Accounts,
) -> None:
    admin = await accounts.user("admin", Role.ADMIN)
    bot = await bot_of(accounts, as_user(admin))
    by_owner = BlockBot(**OWNER, bot_id=bot.id, is_blocked=True)
    assert (await accounts.ask(subjects.ACCOUNTS_BLOCK_BOT, by_owner, Bot)).is_blocked
    taken_back = BlockBot(**as_user(admin), bot_id=bot.id, is_blocked=False)
    assert await accounts.refusal_code(subjects.ACCOUNTS_BLOCK_BOT, taken_back) is ErrorCode.FORBIDDEN
    ended = BlockBot(**OWNER, bot_id=bot.id, is_blocked=False)
    assert not (await accounts.ask(subjects.ACCOUNTS_BLOCK_BOT, ended, Bot)).is_blocked


async def test_a_block_and_a_change_at_once_both_hold(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    bot = await bot_of(accounts, as_user(ada))
    change = ChangeBot(**as_user(ada), bot_id=bot.id, if_version=1, settings=BotSettings(name="Other"))
    block = BlockBot(**OWNER, bot_id=bot.id, is_blocked=True)
    await asyncio.gather(
        accounts.ask(subjects.ACCOUNTS_CHANGE_BOT, change, Bot),
        accounts.ask(subjects.ACCOUNTS_BLOCK_BOT, block, Bot),
    )
    after = await accounts.ask(subjects.ACCOUNTS_READ_BOT, ReadBot(**as_user(ada), bot_id=bot.id), Bot)
    assert (after.version, after.settings.name, after.is_blocked) == (2, "Other", True)


async def test_users_are_found_by_role_state_and_a_part_of_the_name(accounts: Accounts) -> None:
    for name, role in (("ada", Role.GUEST), ("adam", Role.MEMBER), ("a_b", Role.MEMBER)):
        await accounts.user(name, role)

    async def found(**fields: Any) -> list[str]:
        request = ListUsers(**OWNER, **fields)
        return [
            one.name for one in (await accounts.ask(subjects.ACCOUNTS_LIST_USERS, request, UserList)).users
        ]

    assert await found(of_role=Role.MEMBER) == ["a_b", "adam"]
    assert await found(contains="ADA") == ["ada", "adam"]
    assert await found(contains="a_") == ["a_b"]
    assert await found(state=UserState.DISABLED) == []
    assert await found(of_role=Role.GUEST, state=UserState.ACTIVE) == ["ada"]
