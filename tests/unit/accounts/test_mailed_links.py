"""Links come by mail where a server sends it, and whoever asks for one learns nothing of who there is."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from parley_accounts.kek_file import read_or_make_key
from parley_accounts.key_ring import KeyRing
from parley_accounts.notices import link_mails
from parley_accounts.notices.kinds import RULES
from parley_accounts.notices.link_mails import BETWEEN_MAILS_MS
from parley_accounts.notices.tables import forgotten_passwords
from parley_contracts import subjects
from parley_contracts.accounts import (
    AcceptInvitation,
    ChangeUser,
    CreateInvitation,
    CreatePasswordReset,
    ForgotPassword,
    LinkCreated,
    ResetPassword,
    RevokeInvitation,
    User,
    UserState,
)
from parley_contracts.notices import NoticeKind
from parley_contracts.policy import Role
from parley_contracts.provider_keys import KekRotation, RotateKek
from parley_contracts.replies import Done
from sqlalchemy import URL, select

from tests.fakes.smtp_server import SmtpFake, open_smtp
from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, Accounts, open_accounts
from tests.unit.accounts.notices_rig import (
    PUBLIC_URL,
    SENDER,
    choose,
    make_webhook,
    rows_of_deliveries,
    tell,
)

EMAIL = "ada@example.org"
LINK = re.compile(rf"^{PUBLIC_URL}/link#(invitation|reset)=(ln-\S+)$", re.MULTILINE)


def mailing(smtp: SmtpFake) -> dict[str, Any]:
    return {
        "accounts_smtp_host": "127.0.0.1",
        "accounts_smtp_port": smtp.port,
        "accounts_smtp_tls": "none",
        "accounts_smtp_from": SENDER,
        "accounts_public_url": PUBLIC_URL,
    }


@pytest.fixture
async def smtp() -> AsyncGenerator[SmtpFake]:
    async with open_smtp() as opened:
        yield opened


@pytest.fixture
async def accounts(url: URL, smtp: SmtpFake) -> AsyncGenerator[Accounts]:
    """An accounts service that sends mail."""
    async with open_accounts(url, **mailing(smtp)) as opened:
        yield opened


async def drain(accounts: Accounts) -> None:
    await accounts.parts.notices.postman.drain()


async def forget(accounts: Accounts, login: str) -> Done:
    return await accounts.ask(subjects.ACCOUNTS_FORGOT_PASSWORD, ForgotPassword(login=login), Done)


def link_in(smtp: SmtpFake) -> tuple[str, str]:
    found = LINK.search(smtp.mails[-1].text)
    assert found is not None, smtp.mails[-1].text
    return found[1], found[2]


async def invite(accounts: Accounts, email: str | None = EMAIL) -> LinkCreated:
    request = CreateInvitation(**OWNER, new_role=Role.MEMBER, email=email)
    return await accounts.ask(subjects.ACCOUNTS_CREATE_INVITATION, request, LinkCreated)


async def test_an_invitation_for_an_address_is_mailed_there_and_makes_its_user(
    accounts: Accounts, smtp: SmtpFake
) -> None:
    link = await invite(accounts)
    assert link.is_mailed
    await drain(accounts)
    assert smtp.mails[0].recipients == (EMAIL,)
    kind, token = link_in(smtp)
    assert (kind, token) == ("invitation", link.token)
    accept = AcceptInvitation(token=token, name="ada", password=PASSWORD)
    assert (await accounts.ask(subjects.ACCOUNTS_ACCEPT_INVITATION, accept, User)).email == EMAIL


async def test_an_invitation_for_nobody_in_particular_is_handed_over(
    accounts: Accounts, smtp: SmtpFake
) -> None:
    assert not (await invite(accounts, None)).is_mailed
    await drain(accounts)
    assert smtp.mails == []


async def test_without_a_mail_server_links_are_handed_over_and_nothing_is_noted(url: URL) -> None:
    async with open_accounts(url) as accounts:
        assert not (await invite(accounts)).is_mailed
        assert await forget(accounts, "owner") == Done()
        assert await rows_of_deliveries(accounts) == []
        query = select(forgotten_passwords)
        rows = await accounts.database.read(lambda connection: connection.execute(query).all())
        assert rows == []


async def test_an_invitation_that_is_void_by_then_is_not_mailed(accounts: Accounts, smtp: SmtpFake) -> None:
    link = await invite(accounts)
    revoke = RevokeInvitation(**OWNER, invitation_id=link.id)
    await accounts.ask(subjects.ACCOUNTS_REVOKE_INVITATION, revoke, Done)
    await drain(accounts)
    assert smtp.mails == []


async def test_the_token_is_kept_sealed_until_it_is_mailed_and_not_at_all_afterwards(
    accounts: Accounts, smtp: SmtpFake
) -> None:
    link = await invite(accounts)
    (row,) = await rows_of_deliveries(accounts)
    assert row.sealed_token is not None
    assert link.token not in repr(row)
    await drain(accounts)
    (row,) = await rows_of_deliveries(accounts)
    assert (row.sealed_token, row.outcome, len(smtp.mails)) == (None, "done", 1)


async def test_secrets_of_notices_are_sealed_anew_when_the_key_is_replaced(url: URL, tmp_path: Path) -> None:
    read_or_make_key(tmp_path / "keys")
    async with (
        open_smtp() as smtp,
        open_accounts(url, ring=KeyRing.in_folder(tmp_path / "keys"), **mailing(smtp)) as accounts,
    ):
        ada = await accounts.user("ada")
        await make_webhook(accounts, ada, "https://hooks.example.org/")
        link = await invite(accounts, "eve@example.org")
        (before,) = await rows_of_deliveries(accounts)
        done = await accounts.ask(subjects.ACCOUNTS_ROTATE_KEK, RotateKek(**OWNER, begins=True), KekRotation)
        (after,) = await rows_of_deliveries(accounts)
        assert done.is_done
        assert done.resealed >= 4
        assert before.sealed_token.split(".")[1] != after.sealed_token.split(".")[1] == done.key_name
        await drain(accounts)
        assert link_in(smtp)[1] == link.token


async def test_a_reset_that_an_admin_makes_is_mailed_to_its_user(accounts: Accounts, smtp: SmtpFake) -> None:
    ada = await accounts.user("ada", email=EMAIL)
    request = CreatePasswordReset(**OWNER, user_id=ada.id)
    link = await accounts.ask(subjects.ACCOUNTS_CREATE_PASSWORD_RESET, request, LinkCreated)
    assert link.is_mailed
    await drain(accounts)
    assert link_in(smtp) == ("reset", link.token)


@pytest.mark.parametrize("login", ["ada", "ADA@example.org"])
async def test_who_has_forgotten_his_password_sets_a_new_one_by_mail(
    accounts: Accounts, smtp: SmtpFake, login: str
) -> None:
    await accounts.user("ada", email=EMAIL)
    await forget(accounts, login)
    await drain(accounts)
    kind, token = link_in(smtp)
    assert kind == "reset"
    reset = ResetPassword(token=token, password="another one 1")
    await accounts.ask(subjects.ACCOUNTS_RESET_PASSWORD, reset, Done)
    assert await accounts.log_in("ada", "another one 1")
    await drain(accounts)
    assert smtp.mails[-1].message["Subject"] == "The password of your account was changed"


async def test_nobody_learns_who_there_is_by_asking_for_a_link(accounts: Accounts, smtp: SmtpFake) -> None:
    await accounts.user("ada", email=EMAIL)
    await accounts.user("no-address")
    disabled = await accounts.user("bob", email="bob@example.org")
    change = ChangeUser(**OWNER, user_id=disabled.id, state=UserState.DISABLED)
    await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, change, User)
    noted: list[int] = []
    query = select(forgotten_passwords)
    for login in ("ada", "no-address", "bob", "owner", "nobody", "nobody@example.org", "\x00'; --"):
        assert await forget(accounts, login) == Done()
        rows = await accounts.database.read(lambda connection: connection.execute(query).all())
        noted.append(len(rows))
        await accounts.parts.notices.forgotten.look_up()
    # Each asking writes one row and nothing else; who it is is looked up when the answer is out.
    assert noted == [1] * 7
    await drain(accounts)
    assert [one.recipients for one in smtp.mails] == [(EMAIL,)]


async def test_however_often_somebody_asks_a_user_is_mailed_now_and_then(
    accounts: Accounts, smtp: SmtpFake
) -> None:
    await accounts.user("ada", email=EMAIL)
    for _ in range(5):
        await forget(accounts, "ada")
        await drain(accounts)
    assert len(smtp.mails) == 1
    first = link_in(smtp)
    accounts.clock.advance(BETWEEN_MAILS_MS / 1000 + 1)
    await forget(accounts, "ada")
    await drain(accounts)
    assert len(smtp.mails) == 2
    # Who asks in somebody's name takes no link of his away.
    reset = ResetPassword(token=first[1], password="another one 1")
    assert await accounts.ask(subjects.ACCOUNTS_RESET_PASSWORD, reset, Done)


async def test_more_than_can_be_looked_up_is_answered_like_the_rest(
    accounts: Accounts, smtp: SmtpFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_mails, "MOST_WAITING", 2)
    await accounts.user("ada", email=EMAIL)
    for login in ("x", "y", "ada"):
        assert await forget(accounts, login) == Done()
    await drain(accounts)
    assert smtp.mails == []


async def test_a_mail_that_could_not_be_sent_is_sent_later_and_one_that_never_can_is_not(
    accounts: Accounts, smtp: SmtpFake
) -> None:
    await invite(accounts)
    smtp.refuse("RCPT", "451 later")
    await drain(accounts)
    assert smtp.mails == []
    accounts.clock.advance(10)
    await drain(accounts)
    assert len(smtp.mails) == 1
    await invite(accounts, "eve@example.org")
    smtp.refuse("RCPT", "550 no such user")
    await drain(accounts)
    accounts.clock.advance(3600)
    await drain(accounts)
    assert len(smtp.mails) == 1
    counted = {"way": "mail", "result": "failed"}
    assert accounts.registry.get_sample_value("parley_accounts_deliveries_total", counted) == 2
    assert sorted(str(row.outcome) for row in await rows_of_deliveries(accounts)) == ["done", "given_up"]


async def test_a_mail_that_is_sent_again_is_known_by_the_same_id(accounts: Accounts, smtp: SmtpFake) -> None:
    ada = await accounts.user("ada", email=EMAIL)
    await tell(accounts, ada, NoticeKind.EXPORT_READY)
    # It was taken, and the answer says otherwise.
    smtp.refuse("TAKEN", "451 later")
    await drain(accounts)
    accounts.clock.advance(10)
    await drain(accounts)
    await tell(accounts, ada, NoticeKind.EXPORT_READY)
    await drain(accounts)
    first, again, other = (mail.message["Message-ID"] for mail in smtp.mails)
    assert first == again != other


async def test_notices_are_mailed_as_chosen_and_a_new_password_whatever_is_chosen(
    accounts: Accounts, smtp: SmtpFake
) -> None:
    ada = await accounts.user("ada", email=EMAIL)
    await choose(accounts, ada, NoticeKind.EXPORT_READY, mail=False)
    settings = await choose(accounts, ada, NoticeKind.PASSWORD_CHANGED, mail=False, in_app=False)
    assert settings.can_mail
    assert [one.kind for one in settings.settings if one.is_always_mailed] == [NoticeKind.PASSWORD_CHANGED]
    await tell(accounts, ada, NoticeKind.EXPORT_READY)
    await tell(accounts, ada, NoticeKind.PASSWORD_CHANGED)
    await drain(accounts)
    assert [one.message["Subject"] for one in smtp.mails] == ["The password of your account was changed"]
    assert "If this was not you" in smtp.mails[0].text


NEW_PLACE = "Somebody logged in to your account from a new place"


async def test_a_user_is_mailed_so_much_of_a_kind_a_day(accounts: Accounts, smtp: SmtpFake) -> None:
    ada, most = await accounts.user("ada", email=EMAIL), RULES[NoticeKind.EXPORT_READY].mails_a_day
    assert most is not None
    for _ in range(most + 3):
        await tell(accounts, ada, NoticeKind.EXPORT_READY)
    await drain(accounts)
    assert len(smtp.mails) == most
    await tell(accounts, ada, NoticeKind.KEY_CREATED)
    accounts.clock.advance(31)
    await drain(accounts)
    assert len(smtp.mails) == most + 1
    accounts.clock.advance(86_401)
    await tell(accounts, ada, NoticeKind.EXPORT_READY)
    await drain(accounts)
    assert len(smtp.mails) == most + 2


async def test_wrong_logins_of_strangers_keep_no_mail_back_that_tells_of_a_right_one(
    accounts: Accounts, smtp: SmtpFake
) -> None:
    ada, refused = await accounts.user("ada", email=EMAIL), accounts.parts.notices.refused
    await accounts.log_in("ada", client="her browser")
    for _ in range(60):
        for _ in range(5):
            refused.note(ada.id)
        await refused.write()
        accounts.clock.advance(601)
    await accounts.log_in("ada", client="a thief's")
    for kind in (NoticeKind.PASSWORD_CHANGED, NoticeKind.ROLE_CHANGED):
        await tell(accounts, ada, kind)
    await drain(accounts)
    subjects_mailed = [mail.message["Subject"] for mail in smtp.mails]
    assert subjects_mailed.count(NEW_PLACE) == 1
    assert subjects_mailed.count("The password of your account was changed") == 1
    assert subjects_mailed.count("The role of your account was changed") == 1
    assert subjects_mailed.count("Logins to your account were refused") == 10
