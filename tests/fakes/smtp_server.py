"""A mail server that speaks SMTP (RFC 5321) with STARTTLS and AUTH over sockets, and keeps what it takes."""

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it came."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    is_encrypted: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        return message_from_bytes(self.raw, policy=default)

    @property
    def text(self) -> str:
        """Its plain text."""
        body = self.message.get_body(("plain",))
        assert body is not None
        return body.get_content().replace("\r\n", "\n")


@dataclass
class SmtpFake:
    """What the server offers, what it refuses by its next answers, and what it has taken."""

    tls: ssl.SSLContext | None = None
    is_tls_from_start: bool = False
    user: str | None = None
    password: str = "mail-password"
    port: int = 0
    refusals: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    mails: list[Mail] = field(default_factory=list[Mail])
    commands: list[str] = field(default_factory=list[str])

    def refuse(self, command: str, *answers: str) -> None:
        """Answer a command with these, one after the other, before it is taken again.

        `TAKEN` is no command, but the end of a mail: that one is kept, whatever is answered.
        """
        self.refusals[command] = list(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            await _Session(self, reader, writer).run()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()


class _Session:
    def __init__(self, fake: SmtpFake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._fake = fake
        self._reader = reader
        self._writer = writer
        self._is_encrypted = fake.is_tls_from_start
        self._user: str | None = None
        self._sender = ""
        self._recipients: list[str] = []

    async def run(self) -> None:
        await self._say("220 mail.example.org ESMTP")
        while True:
            line = (await self._reader.readuntil(b"\r\n")).decode("ascii").strip()
            command = line.split(" ")[0].upper()
            self._fake.commands.append(command)
            if refusals := self._fake.refusals.get(command):
                await self._say(refusals.pop(0))
            elif command == "QUIT":
                await self._say("221 bye")
                return
            else:
                await self._answer(command, line)

    async def _answer(self, command: str, line: str) -> None:
        match command:
            case "EHLO":
                await self._say(*self._offers())
            case "STARTTLS" if self._fake.tls is not None:
                await self._say("220 go ahead")
                await self._writer.start_tls(self._fake.tls)
                self._is_encrypted = True
            case "AUTH":
                await self._authenticate(line)
            case "MAIL":
                self._sender, self._recipients = _path(line), []
                is_known = self._fake.user is None or self._user is not None
                await self._say("250 ok" if is_known else "530 log in first")
            case "RCPT":
                self._recipients.append(_path(line))
                await self._say("250 ok")
            case "DATA":
                await self._take()
            case "RSET":
                await self._say("250 ok")
            case _:
                await self._say("502 not known")

    def _offers(self) -> list[str]:
        offers = ["250-mail.example.org", "250-8BITMIME"]
        if self._fake.tls is not None and not self._is_encrypted:
            offers.append("250-STARTTLS")
        if self._fake.user is not None:
            offers.append("250-AUTH PLAIN")
        return [*offers, "250 HELP"]

    async def _authenticate(self, line: str) -> None:
        _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
        if (user, password) == (self._fake.user, self._fake.password):
            self._user = user
            await self._say("235 welcome")
        else:
            await self._say("535 no")

    async def _take(self) -> None:
        await self._say("354 go on")
        raw = (await self._reader.readuntil(b"\r\n.\r\n"))[:-3].replace(b"\r\n..", b"\r\n.")
        self._fake.mails.append(
            Mail(self._sender, tuple(self._recipients), raw, self._is_encrypted, self._user)
        )
        late = self._fake.refusals.get("TAKEN")
        await self._say(late.pop(0) if late else "250 taken")

    async def _say(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self._writer.drain()


def _path(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


@asynccontextmanager
async def open_smtp(
    *,
    tls: ssl.SSLContext | None = None,
    is_tls_from_start: bool = False,
    user: str | None = None,
) -> AsyncGenerator[SmtpFake]:
    """Listen on loopback until the body ends."""
    fake = SmtpFake(tls, is_tls_from_start, user)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=tls if is_tls_from_start else None)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()
