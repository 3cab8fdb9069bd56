"""What users are told of, how it gathers, and that it is theirs alone."""

import asyncio
from functools import partial
from typing import Any

import pytest
from parley_accounts.notices import notices as bounds
from parley_accounts.notices.kinds import GATHERING_MS
from parley_accounts.notices.places import network_of, place_of
from parley_accounts.notices.tables import refused_logins
from parley_contracts import subjects
from parley_contracts.accounts import (
    ChangePassword,
    ChangeUser,
    LogIn,
    SessionTokens,
    User,
)
from parley_contracts.credentials import CreateKey, KeyCreated, RevokeKey
from parley_contracts.errors import ErrorCode
from parley_contracts.notices import (
    ListNotices,
    MarkNoticesRead,
    NoticeChanged,
    NoticeFacts,
    NoticeKind,
    NoticeSettings,
    NoticesRead,
    ReadNoticeSettings,
)
from parley_contracts.policy import Role
from parley_contracts.replies import Done
from parley_messaging.bus import Delivery
from sqlalchemy import Connection, select

from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, Accounts, as_user
from tests.unit.accounts.notices_rig import choose, kinds_of, notices_of, page_of, rows_of_deliveries, tell

WEEK_S = 7 * 86_400


async def log_in(accounts: Accounts, client: str, address: str | None) -> SessionTokens:
    request = LogIn(login="ada", password=PASSWORD, client=client, address=address)
    return await accounts.ask(subjects.ACCOUNTS_LOG_IN, request, SessionTokens)


async def mark_read(accounts: Accounts, user: User, *ids: str) -> NoticesRead:
    request = MarkNoticesRead(**as_user(user), ids=ids or None)
    return await accounts.ask(subjects.ACCOUNTS_MARK_NOTICES_READ, request, NoticesRead)


async def test_a_login_from_a_new_place_is_told_and_the_first_and_known_ones_are_not(
    accounts: Accounts,
) -> None:
    ada = await accounts.user("ada")
    await log_in(accounts, "Firefox/131.0 (X11)", "198.51.100.7")
    await log_in(accounts, "Firefox/132.0 (X11)", "198.51.100.200")
    assert await kinds_of(accounts, ada) == []
    tokens = await log_in(accounts, "Firefox/132.0 (X11)", "203.0.113.9")
    (told,) = await notices_of(accounts, ada)
    assert told.kind is NoticeKind.LOGIN_NEW_PLACE
    assert told.facts == NoticeFacts(session_id=tokens.session_id, network="203.0.113.0/24")
    await log_in(accounts, "Firefox/132.0 (X11)", "203.0.113.77")
    assert len(await notices_of(accounts, ada)) == 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2::5", "2001:db8:1::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("testclient", None),
        (None, None),
    ],
)
def test_of_an_address_only_the_network_is_known(address: str | None, network: str | None) -> None:
    assert network_of(address) == network


def test_a_place_is_a_digest_that_is_another_for_each_user() -> None:
    mine, yours = (place_of(user, "Firefox/1", "203.0.113.0/24") for user in ("ada", "bob"))
    assert mine != yours
    assert "203.0.113" not in mine


async def test_refusals_in_a_row_are_told_from_the_fifth_on_and_a_login_begins_anew(
    accounts: Accounts,
) -> None:
    ada, refused = await accounts.user("ada"), accounts.parts.notices.refused
    wrong = LogIn(login="ada", password="wrong")
    for _ in range(4):
        await accounts.refusal(subjects.ACCOUNTS_LOG_IN, wrong)
    await refused.write()
    assert await kinds_of(accounts, ada) == []
    for _ in range(2):
        await accounts.refusal(subjects.ACCOUNTS_LOG_IN, wrong)
        await refused.write()
    (told,) = await notices_of(accounts, ada)
    assert (told.kind, told.count) == (NoticeKind.LOGIN_REFUSED, 6)
    await accounts.log_in("ada")
    rows = await accounts.database.read(lambda connection: connection.execute(select(refused_logins)).all())
    assert rows == []


async def test_refusals_of_nobody_are_counted_nowhere(accounts: Accounts) -> None:
    for login in ("nobody", "owner"):  # the local owner has no password to guess
        for _ in range(6):
            await accounts.refusal(subjects.ACCOUNTS_LOG_IN, LogIn(login=login, password="wrong"))
    await accounts.parts.notices.refused.write()
    rows = await accounts.database.read(lambda connection: connection.execute(select(refused_logins)).all())
    assert rows == []


async def test_changes_of_an_account_are_told(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    change = ChangePassword(**as_user(ada), current_password=PASSWORD, new_password="another one 1")
    await accounts.ask(subjects.ACCOUNTS_CHANGE_PASSWORD, change, Done)
    request = CreateKey(**as_user(ada), name="laptop")
    key = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
    revoke = RevokeKey(**as_user(ada), key_id=key.described.id)
    await accounts.ask(subjects.ACCOUNTS_REVOKE_KEY, revoke, Done)
    await accounts.ask(subjects.ACCOUNTS_REVOKE_KEY, revoke, Done)
    promote = ChangeUser(**OWNER, user_id=ada.id, new_role=Role.ADMIN)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, promote, User)

    told = {one.kind: one for one in await notices_of(accounts, ada)}
    assert set(told) == {
        NoticeKind.PASSWORD_CHANGED,
        NoticeKind.KEY_CREATED,
        NoticeKind.KEY_REVOKED,
        NoticeKind.ROLE_CHANGED,
    }
    assert told[NoticeKind.ROLE_CHANGED].facts == NoticeFacts(role=Role.ADMIN)
    assert told[NoticeKind.KEY_REVOKED].count == 1
    assert "laptop" not in (await page_of(accounts, ada)).model_dump_json()


async def test_a_key_that_is_about_to_expire_is_told_once(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    now_ms = accounts.clock()
    for name, lasts_s in (("a", WEEK_S + 3600), ("short", 3600), ("later", 3 * WEEK_S)):
        request = CreateKey(**as_user(ada), name=name, expires_at_ms=now_ms + lasts_s * 1000)
        await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
    expiry = accounts.parts.notices.expiry
    await expiry.tell()
    assert NoticeKind.KEY_EXPIRING not in await kinds_of(accounts, ada)
    accounts.clock.advance(7200)
    await expiry.tell()
    accounts.clock.advance(GATHERING_MS / 1000 + 1)
    await expiry.tell()
    told = [one for one in await notices_of(accounts, ada) if one.kind is NoticeKind.KEY_EXPIRING]
    assert [(one.count, one.facts.expires_at_ms) for one in told] == [(1, now_ms + (WEEK_S + 3600) * 1000)]


async def test_a_thousand_at_once_are_one_notice_with_a_count_and_one_delivery(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    for number in range(40):
        facts = NoticeFacts(document_id=f"d{number}")
        await tell(accounts, ada, NoticeKind.DOCUMENT_FAILED, facts, count=25)
    (told,) = await notices_of(accounts, ada)
    assert (told.count, told.facts.document_id) == (1000, "d39")
    accounts.clock.advance(GATHERING_MS / 1000 + 1)
    await tell(accounts, ada, NoticeKind.DOCUMENT_FAILED)
    assert [one.count for one in await notices_of(accounts, ada)] == [1, 1000]


async def test_many_who_tell_of_one_kind_at_once_count_every_one(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    await asyncio.gather(*(tell(accounts, ada, NoticeKind.DOCUMENT_FAILED) for _ in range(12)))
    assert [one.count for one in await notices_of(accounts, ada)] == [12]


async def test_a_threshold_of_a_quota_and_an_export_are_told_once_however_often_they_are_heard(
    accounts: Accounts,
) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    told = accounts.parts.users.notices

    def reach(connection: Connection, user_id: str) -> None:
        for percent in (80, 80, 100, 80, 100):
            told.tell_quota(connection, user_id, quota="tokens_day", period="2026-11-21", percent=percent)
        told.tell_export(connection, user_id, "e1")
        told.tell_export(connection, user_id, "e1")

    for user in (ada, bob):
        await accounts.database.write(partial(reach, user_id=user.id))
    for user in (ada, bob):
        seen = {one.kind: one.facts for one in await notices_of(accounts, user)}
        assert len(await notices_of(accounts, user)) == 3
        assert seen[NoticeKind.QUOTA_NEAR].percent == 80
        assert seen[NoticeKind.QUOTA_REACHED].percent == 100
        assert seen[NoticeKind.EXPORT_READY].export_id == "e1"


async def test_nobody_who_is_not_there_is_told(accounts: Accounts) -> None:
    told = accounts.parts.users.notices
    await accounts.database.write(lambda connection: told.add(connection, "nobody", NoticeKind.EXPORT_READY))
    assert await rows_of_deliveries(accounts) == []


async def test_the_unread_come_first_page_by_page(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    for number in range(5):
        accounts.clock.advance(1)
        await tell(accounts, ada, NoticeKind.EXPORT_READY, NoticeFacts(export_id=f"e{number}"))
    ids = [one.id for one in await notices_of(accounts, ada)]
    marked = await mark_read(accounts, ada, ids[0], ids[3])
    assert (marked.changed, marked.unread) == (2, 3)
    wanted = [ids[1], ids[2], ids[4], ids[0], ids[3]]
    seen: list[str] = []
    cursor = None
    while True:
        page = await page_of(accounts, ada, limit=2, cursor=cursor)
        seen += [one.id for one in page.notices]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == wanted
    unread = await page_of(accounts, ada, unread_only=True)
    assert [one.id for one in unread.notices] == wanted[:3]
    assert (await mark_read(accounts, ada)).unread == 0


@pytest.mark.parametrize("cursor", ["x", "", "W10=", "WzEsMiwzXQ==", "WzEsIngiLCJ5Il0=", "é" * 20])
async def test_a_cursor_that_is_none_of_ours_is_refused_by_name(accounts: Accounts, cursor: str) -> None:
    request = ListNotices(**OWNER, cursor=cursor)
    told = await accounts.told(subjects.ACCOUNTS_LIST_NOTICES, request)
    assert (told.code, told.field) == (ErrorCode.INVALID_REQUEST, "cursor")


async def test_notices_of_others_are_neither_seen_nor_marked(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    await tell(accounts, ada, NoticeKind.EXPORT_READY)
    (hers,) = await notices_of(accounts, ada)
    assert await notices_of(accounts, bob) == []
    assert (await mark_read(accounts, bob, hers.id)).changed == 0
    assert (await notices_of(accounts, ada))[0].read_at_ms is None


async def test_what_is_new_after_it_was_read_is_unread_again(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    await tell(accounts, ada, NoticeKind.DOCUMENT_FAILED)
    await mark_read(accounts, ada)
    await tell(accounts, ada, NoticeKind.DOCUMENT_FAILED)
    page = await page_of(accounts, ada)
    assert (page.unread, page.notices[0].count) == (1, 2)


async def test_a_user_has_so_many_notices_of_a_kind_and_the_oldest_of_it_make_room(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_OF_KIND", 3)
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    await tell(accounts, ada, NoticeKind.LOGIN_NEW_PLACE)
    await tell(accounts, bob, NoticeKind.EXPORT_READY)
    for number in range(5):
        accounts.clock.advance(1)
        await tell(accounts, ada, NoticeKind.EXPORT_READY, NoticeFacts(export_id=f"e{number}"))
    assert [one.facts.export_id for one in await notices_of(accounts, ada)] == ["e4", "e3", "e2", None]
    assert len(await notices_of(accounts, bob)) == 1


async def test_a_kind_that_is_not_wanted_in_the_app_is_not_shown(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    changed = await choose(accounts, ada, NoticeKind.EXPORT_READY, in_app=False)
    chosen = {one.kind: one for one in changed.settings}
    assert set(chosen) == set(NoticeKind)
    assert (chosen[NoticeKind.EXPORT_READY].in_app, chosen[NoticeKind.EXPORT_READY].mail) == (False, True)
    await tell(accounts, ada, NoticeKind.EXPORT_READY)
    await tell(accounts, ada, NoticeKind.ROLE_CHANGED)
    assert await kinds_of(accounts, ada) == [NoticeKind.ROLE_CHANGED]
    request = ReadNoticeSettings(**as_user(ada))
    read = await accounts.ask(subjects.ACCOUNTS_READ_NOTICE_SETTINGS, request, NoticeSettings)
    assert read == changed


async def test_each_change_is_told_on_the_users_own_subject_after_it_is_committed(accounts: Accounts) -> None:
    heard: list[tuple[str, Any]] = []

    async def hear(delivery: Delivery) -> None:
        heard.append((delivery.subject, NoticeChanged.model_validate_json(delivery.data).user_id))

    await accounts.bus.subscribe(subjects.ALL_NOTICE_EVENTS, hear)
    ada = await accounts.user("ada")
    await tell(accounts, ada, NoticeKind.EXPORT_READY)
    await mark_read(accounts, ada)
    assert await accounts.revocations() == []
    assert heard == [(subjects.notice_events(ada.id), ada.id)] * 2
