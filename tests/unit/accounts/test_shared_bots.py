"""A bot that is shared with a group is for its members to ask, at once and no longer; no other finds it."""

import asyncio
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import ChangeUser, User, UserState
from parley_contracts.bots import Bot, BotList, BotSettings, ChangeBot, CreateBot, ListBots, ReadBot
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.groups import (
    AddGroupMember,
    CreateGroup,
    DeleteGroup,
    Group,
    GroupMember,
    ReadGroup,
    RemoveGroupMember,
)
from parley_contracts.oversight import BlockBot
from parley_contracts.policy import Permission, Role
from parley_contracts.replies import Done
from parley_contracts.shared_bots import (
    AskBot,
    BotShare,
    BotShareList,
    ListBotShares,
    ListSharedBots,
    ReadSharedBot,
    ShareBot,
    SharedBot,
    SharedBotList,
    UnshareBot,
)

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user

SHARE, ASK = subjects.ACCOUNTS_SHARE_BOT, subjects.ACCOUNTS_ASK_BOT
SECRET = "What the bot is told is its owner's."


async def bot_of(accounts: Accounts, user: User, **settings: Any) -> Bot:
    described = BotSettings(name="Guide", prompt=SECRET, description="Knows the way.", **settings)
    request = CreateBot(**as_user(user), settings=described)
    return await accounts.ask(subjects.ACCOUNTS_CREATE_BOT, request, Bot)


async def group_of(accounts: Accounts, *members: User, name: str = "Readers") -> Group:
    made = await accounts.ask(subjects.ACCOUNTS_CREATE_GROUP, CreateGroup(**OWNER, name=name), Group)
    for user in members:
        request = AddGroupMember(**OWNER, group_id=made.id, user_id=user.id)
        await accounts.ask(subjects.ACCOUNTS_ADD_GROUP_MEMBER, request, GroupMember)
    return made


async def share(accounts: Accounts, user: User, bot: Bot, group: Group) -> BotShare:
    return await accounts.ask(SHARE, ShareBot(**as_user(user), bot_id=bot.id, group_id=group.id), BotShare)


async def may_ask(accounts: Accounts, user: User, bot: Bot) -> bool:
    """Return whether a user finds a bot; in a list, by its id and for a turn it must be the same."""
    listed = await accounts.ask(
        subjects.ACCOUNTS_LIST_SHARED_BOTS, ListSharedBots(**as_user(user)), SharedBotList
    )
    found = {
        await reaches(
            accounts, subjects.ACCOUNTS_READ_SHARED_BOT, ReadSharedBot(**as_user(user), bot_id=bot.id)
        ),
        await reaches(accounts, ASK, AskBot(**as_user(user), bot_id=bot.id)),
    }
    if user.id != bot.owner_id:
        found.add(bot.id in {one.id for one in listed.bots})
    assert len(found) == 1
    return found.pop()


async def reaches(accounts: Accounts, subject: str, request: ReadSharedBot | AskBot) -> bool:
    try:
        await accounts.ask(subject, request, SharedBot if isinstance(request, ReadSharedBot) else Bot)
    except ParleyError as error:
        told = (error.code, error.message, error.field)
    else:
        return True
    assert told == await accounts.told(subject, request.model_copy(update={"bot_id": "never was"}))
    assert told[0] is ErrorCode.NOT_FOUND
    return False


async def test_members_may_ask_a_bot_and_see_nothing_of_how_it_is_made(accounts: Accounts) -> None:
    ada, bob, eva = [await accounts.user(name) for name in ("ada", "bob", "eva")]
    guest = await accounts.user("guest", Role.GUEST)
    bot = await bot_of(accounts, ada)
    group = await group_of(accounts, ada, bob, guest)
    assert (await share(accounts, ada, bot, group)).group_name == "Readers"
    assert [await may_ask(accounts, one, bot) for one in (ada, bob, guest, eva)] == [True, True, True, False]
    request = ReadSharedBot(**as_user(bob), bot_id=bot.id)
    shown = await accounts.ask(subjects.ACCOUNTS_READ_SHARED_BOT, request, SharedBot)
    assert (shown.name, shown.owner_name) == ("Guide", "ada")
    assert SECRET not in shown.model_dump_json()


async def test_its_owner_remains_its_owner(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    admin = await accounts.user("admin", Role.ADMIN)
    bot = await bot_of(accounts, ada)
    group = await group_of(accounts, ada, bob, admin)
    await share(accounts, ada, bot, group)
    other = await group_of(accounts, bob, name="Others")
    for user in (bob, admin):
        named: dict[str, Any] = {**as_user(user), "bot_id": bot.id}
        for subject, asked in (
            (subjects.ACCOUNTS_READ_BOT, ReadBot(**named)),
            (subjects.ACCOUNTS_CHANGE_BOT, ChangeBot(**named, if_version=1, settings=bot.settings)),
            (SHARE, ShareBot(**named, group_id=other.id)),
            (subjects.ACCOUNTS_UNSHARE_BOT, UnshareBot(**named, group_id=group.id)),
            (subjects.ACCOUNTS_LIST_BOT_SHARES, ListBotShares(**named)),
        ):
            assert await accounts.refusal_code(subject, asked) is ErrorCode.NOT_FOUND
        listed = await accounts.ask(subjects.ACCOUNTS_LIST_BOTS, ListBots(**as_user(user)), BotList)
        assert listed.bots == ()
    assert await may_ask(accounts, bob, bot)


async def test_a_bot_is_shared_only_with_groups_that_its_owner_may_see(accounts: Accounts) -> None:
    ada, admin = await accounts.user("ada"), await accounts.user("admin", Role.ADMIN)
    strangers = await group_of(accounts)
    bot = await bot_of(accounts, ada)
    told = {
        await accounts.told(SHARE, ShareBot(**as_user(ada), bot_id=bot.id, group_id=group_id))
        for group_id in (strangers.id, "never was")
    }
    assert [(one.code, one.field) for one in told] == [(ErrorCode.NOT_FOUND, "group_id")]
    assert await share(accounts, admin, await bot_of(accounts, admin), strangers)


@pytest.mark.parametrize(
    "how", ["removed", "group deleted", "unshared", "blocked", "disabled bot", "disabled owner"]
)
async def test_what_ends_it_ends_it_at_once(accounts: Accounts, how: str) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    bot = await bot_of(accounts, ada)
    group = await group_of(accounts, ada, bob)
    await share(accounts, ada, bot, group)
    assert await may_ask(accounts, bob, bot)
    of_group: dict[str, Any] = {**OWNER, "group_id": group.id}
    if how == "removed":
        await accounts.ask(
            subjects.ACCOUNTS_REMOVE_GROUP_MEMBER, RemoveGroupMember(**of_group, user_id=bob.id), Done
        )
    elif how == "group deleted":
        await accounts.ask(subjects.ACCOUNTS_DELETE_GROUP, DeleteGroup(**of_group), Done)
    elif how == "unshared":
        end = UnshareBot(**as_user(ada), bot_id=bot.id, group_id=group.id)
        await accounts.ask(subjects.ACCOUNTS_UNSHARE_BOT, end, Done)
        await accounts.ask(subjects.ACCOUNTS_UNSHARE_BOT, end, Done)
    elif how == "blocked":
        await accounts.ask(
            subjects.ACCOUNTS_BLOCK_BOT, BlockBot(**OWNER, bot_id=bot.id, is_blocked=True), Bot
        )
    elif how == "disabled bot":
        settings = bot.settings.model_copy(update={"is_enabled": False})
        change = ChangeBot(**as_user(ada), bot_id=bot.id, if_version=1, settings=settings)
        await accounts.ask(subjects.ACCOUNTS_CHANGE_BOT, change, Bot)
    else:
        change_user = ChangeUser(**OWNER, user_id=ada.id, state=UserState.DISABLED)
        await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, change_user, User)
    assert not await may_ask(accounts, bob, bot)


async def test_a_bot_of_who_may_have_none_any_more_is_not_asked(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    bot = await bot_of(accounts, ada)
    group = await group_of(accounts, ada, bob)
    await share(accounts, ada, bot, group)
    lowered = ChangeUser(**OWNER, user_id=ada.id, new_role=Role.GUEST)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, lowered, User)
    assert not await may_ask(accounts, bob, bot)
    keepers = CreateGroup(**OWNER, name="Makers", permissions=(Permission.BOTS_WRITE,))
    makers = await accounts.ask(subjects.ACCOUNTS_CREATE_GROUP, keepers, Group)
    add = AddGroupMember(**OWNER, group_id=makers.id, user_id=ada.id)
    await accounts.ask(subjects.ACCOUNTS_ADD_GROUP_MEMBER, add, GroupMember)
    assert await may_ask(accounts, bob, bot)


async def test_shares_are_counted_and_listed_and_go_with_the_group(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    bot = await bot_of(accounts, ada)
    groups = [await group_of(accounts, ada, name=name) for name in ("b", "A", "c")]
    await asyncio.gather(*(share(accounts, ada, bot, group) for group in (*groups, *groups)))
    listing = ListBotShares(**as_user(ada), bot_id=bot.id)
    shares = await accounts.ask(subjects.ACCOUNTS_LIST_BOT_SHARES, listing, BotShareList)
    assert [one.group_name for one in shares.shares] == ["A", "b", "c"]
    read = ReadGroup(**OWNER, group_id=groups[0].id)
    assert (await accounts.ask(subjects.ACCOUNTS_READ_GROUP, read, Group)).bots == 1
    await accounts.ask(subjects.ACCOUNTS_DELETE_GROUP, DeleteGroup(**OWNER, group_id=groups[0].id), Done)
    shares = await accounts.ask(subjects.ACCOUNTS_LIST_BOT_SHARES, listing, BotShareList)
    assert [one.group_name for one in shares.shares] == ["A", "c"]


async def test_shared_bots_are_listed_page_by_page(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    group = await group_of(accounts, ada, bob)
    again = await group_of(accounts, ada, bob, name="again")
    made = [await bot_of(accounts, ada) for _ in range(3)]
    for bot in made:
        await share(accounts, ada, bot, group)
        await share(accounts, ada, bot, again)
    found: list[str] = []
    cursor: str | None = None
    while True:
        request = ListSharedBots(**as_user(bob), limit=2, cursor=cursor)
        page = await accounts.ask(subjects.ACCOUNTS_LIST_SHARED_BOTS, request, SharedBotList)
        found += [one.id for one in page.bots]
        if (cursor := page.next_cursor) is None:
            break
    assert sorted(found) == sorted(one.id for one in made)
