"""What tests of notices ask, and look for in the tables."""

from collections.abc import Iterable
from typing import Any

from parley_accounts.notices.tables import deliveries
from parley_contracts import subjects
from parley_contracts.accounts import User
from parley_contracts.notices import (
    ChangeNoticeSettings,
    ListNotices,
    Notice,
    NoticeChoice,
    NoticeFacts,
    NoticeKind,
    NoticeList,
    NoticeSettings,
)
from parley_contracts.webhooks import CreateWebhook, WebhookCreated
from sqlalchemy import select

from tests.unit.accounts.accounts_rig import Accounts, as_user

LOOPBACK = "127.0.0.0/8"
SENDER = "Parley <parley@example.org>"
PUBLIC_URL = "https://chat.example.org"


async def page_of(accounts: Accounts, user: User, **fields: Any) -> NoticeList:
    request = ListNotices(**as_user(user), **fields)
    return await accounts.ask(subjects.ACCOUNTS_LIST_NOTICES, request, NoticeList)


async def notices_of(accounts: Accounts, user: User) -> list[Notice]:
    return list((await page_of(accounts, user)).notices)


async def kinds_of(accounts: Accounts, user: User) -> list[NoticeKind]:
    return [one.kind for one in await notices_of(accounts, user)]


async def tell(
    accounts: Accounts, user: User, kind: NoticeKind, facts: NoticeFacts | None = None, **fields: Any
) -> None:
    told = accounts.parts.users.notices
    await accounts.database.write(lambda connection: told.add(connection, user.id, kind, facts, **fields))


async def choose(accounts: Accounts, user: User, kind: NoticeKind, **ways: bool) -> NoticeSettings:
    request = ChangeNoticeSettings(**as_user(user), choices=(NoticeChoice(kind=kind, **ways),))
    return await accounts.ask(subjects.ACCOUNTS_CHANGE_NOTICE_SETTINGS, request, NoticeSettings)


async def make_webhook(
    accounts: Accounts, user: User, url: str, kinds: Iterable[NoticeKind] | None = None
) -> WebhookCreated:
    named = None if kinds is None else tuple(kinds)
    request = CreateWebhook(**as_user(user), url=url, kinds=named)
    return await accounts.ask(subjects.ACCOUNTS_CREATE_WEBHOOK, request, WebhookCreated)


async def rows_of_deliveries(accounts: Accounts) -> list[Any]:
    query = select(deliveries).order_by(deliveries.c.created_at_ms, deliveries.c.id)
    return list(await accounts.database.read(lambda connection: connection.execute(query).all()))
