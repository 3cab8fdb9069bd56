"""Bots: an owner's alone, with versions that say what changed, and events that tell of it."""

import json
from typing import Any

import pytest
from parley_accounts.bot_rows import MAX_VERSIONS
from parley_accounts.tables import outbox
from parley_contracts import subjects
from parley_contracts.accounts import ChangeUser, User, UserState
from parley_contracts.bots import (
    Bot,
    BotList,
    BotSettings,
    BotVersionList,
    BotVersionSettings,
    ChangeBot,
    CreateBot,
    DeleteBot,
    ListBots,
    ListBotVersions,
    ReadBot,
    ReadBotVersion,
    ReadPublicBot,
    RestoreBotVersion,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_contracts.replies import Done
from pydantic import ValidationError
from sqlalchemy import select

from tests.unit.accounts.accounts_rig import OWNER, Accounts, as_user


def settings_of(**fields: Any) -> BotSettings:
    return BotSettings.model_validate({"name": "Guide", "prompt": "You are a guide.", **fields})


async def made(accounts: Accounts, asking: dict[str, Any] = OWNER, **fields: Any) -> Bot:
    request = CreateBot(**asking, settings=settings_of(**fields))
    return await accounts.ask(subjects.ACCOUNTS_CREATE_BOT, request, Bot)


async def changed(accounts: Accounts, bot: Bot, **fields: Any) -> Bot:
    request = ChangeBot(
        owner_id=bot.owner_id,
        role=Role.OWNER,
        bot_id=bot.id,
        if_version=bot.version,
        settings=bot.settings.model_copy(update=fields),
    )
    return await accounts.ask(subjects.ACCOUNTS_CHANGE_BOT, request, Bot)


async def told(accounts: Accounts) -> list[dict[str, Any]]:
    """Return the events about bots that wait to be published, in order."""
    query = select(outbox.c.body).where(outbox.c.type == "bot_changed").order_by(outbox.c.id)
    rows = await accounts.database.read(lambda connection: connection.execute(query).scalars().all())
    return [json.loads(row) for row in rows]


async def test_a_bot_is_read_as_it_was_made(accounts: Accounts) -> None:
    bot = await made(
        accounts,
        models=[{"model": "ollama/llama3.2:1b", "params": {"temperature": 0.2}}, {"model": "extractive"}],
        collections=["handbook"],
        tools=["search:web"],
        allowed_origins=["https://shop.example"],
        greeting="Hello \x00",
    )
    read = await accounts.ask(subjects.ACCOUNTS_READ_BOT, ReadBot(**OWNER, bot_id=bot.id), Bot)
    assert read == bot
    assert (bot.version, bot.settings.models[0].params.temperature) == (1, 0.2)
    assert bot.settings.greeting == "Hello \x00"


async def test_bots_are_listed_page_by_page_the_newest_first(accounts: Accounts) -> None:
    ids: list[str] = []
    for number in range(5):
        ids.append((await made(accounts, name=f"bot {number}")).id)
        accounts.clock.advance(1)
    found: list[str] = []
    cursor: str | None = None
    while True:
        request = ListBots(**OWNER, limit=2, cursor=cursor)
        page = await accounts.ask(subjects.ACCOUNTS_LIST_BOTS, request, BotList)
        found += [one.id for one in page.bots]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == ids[::-1]
    refusal = await accounts.refusal(subjects.ACCOUNTS_LIST_BOTS, ListBots(**OWNER, cursor="x"))
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID_REQUEST, "cursor")


async def test_a_change_by_who_has_not_seen_the_last_one_is_refused(accounts: Accounts) -> None:
    bot = await made(accounts)
    first = await changed(accounts, bot, prompt="Be brief.")
    request = ChangeBot(**OWNER, bot_id=bot.id, if_version=1, settings=settings_of(prompt="Be long."))
    refusal = await accounts.refusal(subjects.ACCOUNTS_CHANGE_BOT, request)
    assert (refusal.code, refusal.field) == (ErrorCode.CONFLICT, "if_version")
    read = await accounts.ask(subjects.ACCOUNTS_READ_BOT, ReadBot(**OWNER, bot_id=bot.id), Bot)
    assert read == first
    assert (read.version, read.settings.prompt) == (2, "Be brief.")


async def test_versions_say_what_changed_and_lead_back(accounts: Accounts) -> None:
    bot = await made(accounts)
    second = await changed(accounts, bot, prompt="Be brief.", greeting="Hi")
    same = await changed(accounts, second)
    assert same == second
    back = RestoreBotVersion(**OWNER, bot_id=bot.id, version=1, if_version=2)
    third = await accounts.ask(subjects.ACCOUNTS_RESTORE_BOT_VERSION, back, Bot)
    assert (third.version, third.settings) == (3, bot.settings)

    listing = ListBotVersions(**OWNER, bot_id=bot.id, limit=2)
    page = await accounts.ask(subjects.ACCOUNTS_LIST_BOT_VERSIONS, listing, BotVersionList)
    assert [(one.version, set(one.changed), one.restored_from) for one in page.versions] == [
        (3, {"prompt", "greeting"}, 1),
        (2, {"prompt", "greeting"}, None),
    ]
    assert page.versions[0].changed_by == OWNER["owner_id"]
    rest = ListBotVersions(**OWNER, bot_id=bot.id, limit=2, before_version=page.next_before_version)
    last = await accounts.ask(subjects.ACCOUNTS_LIST_BOT_VERSIONS, rest, BotVersionList)
    assert [one.version for one in last.versions] == [1]
    assert last.next_before_version is None

    asked = ReadBotVersion(**OWNER, bot_id=bot.id, version=2)
    found = await accounts.ask(subjects.ACCOUNTS_READ_BOT_VERSION, asked, BotVersionSettings)
    assert (found.settings.greeting, found.previous) == ("Hi", bot.settings)
    missing = ReadBotVersion(**OWNER, bot_id=bot.id, version=9)
    assert await accounts.refusal_code(subjects.ACCOUNTS_READ_BOT_VERSION, missing) is ErrorCode.NOT_FOUND


async def test_only_so_many_versions_are_kept(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_VERSIONS == 200
    monkeypatch.setattr("parley_accounts.bot_rows.MAX_VERSIONS", 3)
    bot = await made(accounts)
    for number in range(5):
        bot = await changed(accounts, bot, greeting=str(number))
    listing = ListBotVersions(**OWNER, bot_id=bot.id)
    page = await accounts.ask(subjects.ACCOUNTS_LIST_BOT_VERSIONS, listing, BotVersionList)
    assert [one.version for one in page.versions] == [6, 5, 4]
    oldest = ReadBotVersion(**OWNER, bot_id=bot.id, version=4)
    found = await accounts.ask(subjects.ACCOUNTS_READ_BOT_VERSION, oldest, BotVersionSettings)
    assert found.previous is None


async def test_every_change_is_told_once_with_what_it_left(accounts: Accounts) -> None:
    bot = await made(accounts)
    await changed(accounts, bot, greeting="Hi")
    await accounts.ask(subjects.ACCOUNTS_DELETE_BOT, DeleteBot(**OWNER, bot_id=bot.id), Done)
    events = await told(accounts)
    assert [(one["bot_id"], one["version"], one["is_deleted"]) for one in events] == [
        (bot.id, 1, False),
        (bot.id, 2, False),
        (bot.id, 2, True),
    ]
    read = ReadBot(**OWNER, bot_id=bot.id)
    assert await accounts.refusal_code(subjects.ACCOUNTS_READ_BOT, read) is ErrorCode.NOT_FOUND


async def test_anothers_bot_is_found_by_nobody_not_even_an_owner(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    bot = await made(accounts, as_user(ada))
    listed = await accounts.ask(subjects.ACCOUNTS_LIST_BOTS, ListBots(**OWNER), BotList)
    assert listed.bots == ()
    of: dict[str, Any] = {**OWNER, "bot_id": bot.id}
    never = await accounts.refusal(subjects.ACCOUNTS_READ_BOT, ReadBot(**OWNER, bot_id="never-was"))
    for subject, request in (
        (subjects.ACCOUNTS_READ_BOT, ReadBot(**of)),
        (subjects.ACCOUNTS_CHANGE_BOT, ChangeBot(**of, if_version=1, settings=settings_of())),
        (subjects.ACCOUNTS_DELETE_BOT, DeleteBot(**of)),
        (subjects.ACCOUNTS_LIST_BOT_VERSIONS, ListBotVersions(**of)),
        (subjects.ACCOUNTS_READ_BOT_VERSION, ReadBotVersion(**of, version=1)),
        (subjects.ACCOUNTS_RESTORE_BOT_VERSION, RestoreBotVersion(**of, version=1, if_version=1)),
    ):
        refusal = await accounts.refusal(subject, request)
        assert (refusal.code, refusal.message) == (ErrorCode.NOT_FOUND, never.message), subject


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"allowed_origins": ["https://shop.example:443"]}, "allowed_origins"),
        ({"allowed_origins": ["https://shop.example:99999"]}, "allowed_origins"),
        ({"allowed_origins": ["http://[4.d9]"]}, "allowed_origins"),
        ({"allowed_origins": ["https://a.example", "https://a.example"]}, "allowed_origins"),
        ({"collections": ["a", "a"]}, "collections"),
        ({"tools": ["a", "a"]}, "tools"),
    ],
)
async def test_settings_that_mean_nothing_are_refused_by_name(
    accounts: Accounts, fields: dict[str, Any], field: str
) -> None:
    request = CreateBot(**OWNER, settings=settings_of(**fields))
    refusal = await accounts.refusal(subjects.ACCOUNTS_CREATE_BOT, request)
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID_REQUEST, field)


NO_ORIGINS = """
* null https://*.example https://shop.example/ HTTPS://shop.example https://Shop.example
ftp://shop.example https:// https://a@b https://shop.example?x https://-a
"""


@pytest.mark.parametrize("origin", NO_ORIGINS.split())
def test_an_origin_is_what_a_browser_says_and_nothing_wider(origin: str) -> None:
    with pytest.raises(ValidationError):
        settings_of(allowed_origins=[origin])


async def test_settings_are_no_larger_than_a_message_takes(accounts: Accounts) -> None:
    models = [{"model": "m", "params": {"stop": ["\u20ac" * 60_000]}}] * 2
    request = CreateBot(**OWNER, settings=settings_of(models=models))
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_BOT, request) is ErrorCode.TOO_LARGE


async def test_a_user_has_so_many_bots_and_no_more(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_accounts.bots.MAX_BOTS", 2)
    await made(accounts)
    await made(accounts)
    request = CreateBot(**OWNER, settings=settings_of())
    assert await accounts.refusal_code(subjects.ACCOUNTS_CREATE_BOT, request) is ErrorCode.CONFLICT


async def set_user(accounts: Accounts, user: User, **fields: Any) -> None:
    request = ChangeUser(**OWNER, user_id=user.id, **fields)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, request, User)


async def test_visitors_find_a_bot_while_it_is_enabled_and_its_owner_may_have_one(
    accounts: Accounts,
) -> None:
    ada = await accounts.user("ada")
    bot = await made(accounts, as_user(ada))
    public = ReadPublicBot(bot_id=bot.id)
    assert await accounts.ask(subjects.ACCOUNTS_READ_PUBLIC_BOT, public, Bot) == bot

    async def is_found() -> bool:
        try:
            await accounts.ask(subjects.ACCOUNTS_READ_PUBLIC_BOT, public, Bot)
        except ParleyError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            return False
        return True

    await set_user(accounts, ada, new_role=Role.GUEST)
    assert not await is_found()
    await set_user(accounts, ada, new_role=Role.MEMBER)
    assert await is_found()
    await set_user(accounts, ada, state=UserState.DISABLED)
    assert not await is_found()
    await set_user(accounts, ada, state=UserState.ACTIVE)
    paused = await changed(accounts, bot, is_enabled=False)
    assert not await is_found()
    await changed(accounts, paused, is_enabled=True)
    assert await is_found()
