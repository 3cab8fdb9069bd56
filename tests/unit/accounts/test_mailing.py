"""Mail over a real SMTP conversation and into memory; what a server may do wrong, and TLS that holds."""

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest
from parley_accounts.notices.deliveries import LEASE_MS
from parley_accounts.notices.letters import Letters, address_of
from parley_accounts.notices.mailing import (
    Mailer,
    MailError,
    MemoryMailer,
    SmtpMailer,
    SmtpServer,
    SmtpTls,
)
from parley_contracts.notices import Notice, NoticeFacts, NoticeKind
from parley_contracts.policy import Role
from pydantic import ValidationError

from tests.certificates import Authority
from tests.fakes.smtp_server import SmtpFake, open_smtp
from tests.unit.accounts.accounts_rig import settings_of
from tests.unit.accounts.notices_rig import PUBLIC_URL, SENDER

Opened = Callable[[], AbstractAsyncContextManager[Mailer]]

HERE = "127.0.0.1"
LETTERS = Letters(SENDER, PUBLIC_URL)
THREADS = ThreadPoolExecutor(2)
NOTICE = Notice(
    id="n1",
    kind=NoticeKind.ROLE_CHANGED,
    at_ms=1_763_726_400_000,
    count=3,
    facts=NoticeFacts(role=Role.ADMIN),
)


def letter() -> EmailMessage:
    return LETTERS.of_notice(NOTICE, "ada@example.org", "d1")


def mailer(fake: SmtpFake, tls: SmtpTls = SmtpTls.NONE, **fields: object) -> SmtpMailer:
    server = SmtpServer(host=HERE, port=fake.port, tls=tls, timeout_s=5)
    for name, value in fields.items():
        object.__setattr__(server, name, value)
    return SmtpMailer(server, THREADS)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def serving(authority: Authority, host: str = HERE) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(host))
    return context


@asynccontextmanager
async def over_smtp() -> AsyncGenerator[Mailer]:
    async with open_smtp() as fake:
        yield mailer(fake)


@asynccontextmanager
async def in_memory() -> AsyncGenerator[Mailer]:
    yield MemoryMailer()


@pytest.mark.parametrize("opened", [over_smtp, in_memory])
async def test_a_mailer_takes_a_letter(opened: Opened) -> None:
    async with opened() as taking:
        await taking.send(letter())


@pytest.mark.parametrize("opened", [over_smtp, in_memory])
async def test_a_mailer_refuses_for_good_what_is_to_nobody(opened: Opened) -> None:
    to_nobody = letter()
    del to_nobody["To"]
    async with opened() as taking:
        with pytest.raises(MailError, match="address") as refused:
            await taking.send(to_nobody)
    assert refused.value.is_final


async def test_a_letter_arrives_as_text_and_html_from_us_to_one() -> None:
    async with open_smtp() as fake:
        await mailer(fake).send(letter())
    (mail,) = fake.mails
    assert (mail.sender, mail.recipients) == ("parley@example.org", ("ada@example.org",))
    assert mail.message["Subject"] == "The role of your account was changed"
    assert "New role: admin" in mail.text
    assert "How often: 3 times" in mail.text
    html = mail.message.get_body(("html",))
    assert html is not None
    shown = html.get_content()
    assert "<img" not in shown
    assert "?" not in shown.split("href=")[1].split('"')[1]
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.message["Message-ID"] == "<d1@example.org>"


async def test_a_server_that_talks_without_end_is_left_before_the_lease_of_a_delivery_ends() -> None:
    assert SmtpServer(HERE, 25, SmtpTls.NONE).within_s * 1000 < LEASE_MS * 3 / 4
    left = asyncio.Event()

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 mail.example.org ESMTP\r\n")
            while True:
                # Each line is quick enough for the clock of one answer.
                writer.write(b"250-and another thing\r\n")
                await writer.drain()
                await asyncio.sleep(0.005)
        except OSError:
            left.set()
        finally:
            writer.close()

    async with await asyncio.start_server(talk, HERE, 0) as server:
        fake = SmtpFake(port=server.sockets[0].getsockname()[1])
        async with asyncio.timeout(10):
            with pytest.raises(MailError, match="too long") as refused:
                await mailer(fake, within_s=0.2).send(letter())
            # And its thread is free for others.
            await left.wait()
    assert not refused.value.is_final


async def test_a_mail_whose_turn_comes_too_late_is_not_sent_behind_its_deliverys_back() -> None:
    released = threading.Event()
    held = [THREADS.submit(released.wait, 10) for _ in range(2)]
    async with open_smtp() as fake:
        with pytest.raises(MailError, match="too long"):
            await mailer(fake, within_s=0.05).send(letter())
        released.set()
        for one in held:
            await asyncio.wrap_future(one)
        await mailer(fake).send(letter())
        assert len(fake.mails) == 1


async def test_a_password_is_shown_to_a_server_that_proved_its_name_and_to_no_other(
    authority: Authority,
) -> None:
    known = {"user": "parley", "password": "mail-password", "ca_file": authority.path}
    async with open_smtp(tls=serving(authority), user="parley") as fake:
        await mailer(fake, SmtpTls.STARTTLS, **known).send(letter())
        assert [(one.is_encrypted, one.user) for one in fake.mails] == [(True, "parley")]
        assert fake.commands.index("STARTTLS") < fake.commands.index("AUTH")
    for tls in (serving(authority, "mail.example.org"), serving(Authority(authority.path.parent, "Other"))):
        async with open_smtp(tls=tls, user="parley") as fake:
            with pytest.raises(MailError, match="certificate") as refused:
                await mailer(fake, SmtpTls.STARTTLS, **known).send(letter())
            assert not refused.value.is_final
            assert "AUTH" not in fake.commands
            assert fake.mails == []


async def test_a_server_that_offers_no_encryption_is_told_nothing() -> None:
    async with open_smtp(user="parley") as fake:
        known = {"user": "parley", "password": "mail-password"}
        with pytest.raises(MailError, match="lacks"):
            await mailer(fake, SmtpTls.STARTTLS, **known).send(letter())
    assert "AUTH" not in fake.commands


async def test_tls_from_the_start_is_spoken_where_it_is_set(authority: Authority) -> None:
    async with open_smtp(tls=serving(authority), is_tls_from_start=True) as fake:
        await mailer(fake, SmtpTls.TLS, ca_file=authority.path).send(letter())
        assert [one.is_encrypted for one in fake.mails] == [True]
        with pytest.raises(MailError):
            await mailer(fake, SmtpTls.TLS).send(letter())


@pytest.mark.parametrize(
    ("command", "answer", "is_final"),
    [
        ("MAIL", "451 later", False),
        ("MAIL", "553 not from you", True),
        ("RCPT", "450 mailbox busy", False),
        ("RCPT", "550 no such user", True),
        ("DATA", "452 no room", False),
        ("DATA", "554 looks like spam", True),
        ("EHLO", "421 shutting down", False),
    ],
)
async def test_what_a_server_refuses_is_tried_again_or_not_as_it_says(
    command: str, answer: str, is_final: bool
) -> None:
    async with open_smtp() as fake:
        fake.refuse(command, answer, answer)
        with pytest.raises(MailError) as refused:
            await mailer(fake).send(letter())
        assert refused.value.is_final == is_final
        assert answer[4:] not in str(refused.value)


async def test_a_wrong_password_is_the_operators_to_mend_and_a_server_that_is_away_comes_back(
    authority: Authority,
) -> None:
    wrong = {"user": "parley", "password": "wrong", "ca_file": authority.path}
    async with open_smtp(tls=serving(authority), user="parley") as fake:
        with pytest.raises(MailError) as refused:
            await mailer(fake, SmtpTls.STARTTLS, **wrong).send(letter())
        assert (refused.value.status, refused.value.is_final) == (535, False)
    with pytest.raises(MailError) as away:
        await mailer(fake).send(letter())
    assert not away.value.is_final


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org\r\nBcc: eve@example.org",
        "a@example.org\nBcc: eve@example.org",
        "a@example.org, eve@example.org",
        "a@example.org;eve@example.org",
        "a b@example.org",
        "a@b@example.org",
        "<a@example.org>",
        "@example.org",
        "a@",
        "",
        "a\x00@example.org",
    ],
)
def test_an_address_that_is_more_or_less_than_one_makes_no_letter(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        LETTERS.of_notice(NOTICE, address, "d1")


def test_an_address_may_have_a_name() -> None:
    assert address_of("Parley <parley@example.org>").addr_spec == "parley@example.org"


MAILING = {"accounts_smtp_host": "mail.example.org", "accounts_smtp_from": SENDER}
REACHED = {"accounts_public_url": PUBLIC_URL}


@pytest.mark.parametrize(
    "fields",
    [
        MAILING,
        {**REACHED, "accounts_smtp_host": "mail.example.org"},
        {**MAILING, **REACHED, "accounts_smtp_from": "parley"},
        {**MAILING, **REACHED, "accounts_smtp_from": "a@example.org\nBcc: b@example.org"},
        {**MAILING, **REACHED, "accounts_smtp_user": "parley"},
        {**MAILING, **REACHED, "accounts_smtp_tls": "none"},
        {**MAILING, "accounts_public_url": "chat.example.org"},
        {"accounts_public_url": "https://chat.example.org/#x"},
        {"accounts_webhook_networks": "everywhere"},
    ],
)
def test_settings_by_which_nobody_could_be_told_are_refused_at_the_start(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        settings_of(**fields)


def test_the_password_of_the_mail_server_comes_from_its_file_and_shows_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "smtp.password"
    file.write_text("mail-password\n", encoding="utf-8")
    settings = settings_of(
        **MAILING, **REACHED, accounts_smtp_user="parley", accounts_smtp_password_file=file
    )
    server = settings.smtp_server
    assert server is not None
    assert server.password == "mail-password"
    assert "mail-password" not in f"{server!r}{settings!r}"
