"""Sends mail by SMTP: the server's certificate has to hold, and a password never travels unencrypted."""

import asyncio
import smtplib
import socket
import ssl
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Protocol

_PERMANENT = 500


class SmtpTls(StrEnum):
    """How a connection to the server is encrypted.

    starttls: from the first words on, which the server has to offer. tls: from the start. none: not, for a
    server on this machine.
    """

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class MailError(Exception):
    """A mail was not taken; `is_final` when it would not be later either."""

    def __init__(self, problem: str, *, status: int | None = None, is_final: bool = False) -> None:
        super().__init__(problem)
        self.status = status
        self.is_final = is_final


class Mailer(Protocol):
    """What takes mail to be sent."""

    async def send(self, message: EmailMessage) -> None:
        """Return when the mail was taken; raise MailError when it was not."""
        ...


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The server that sends mail, and how it is spoken to.

    `timeout_s` is for each of its answers, `within_s` for a mail in all: less than a delivery's lease, or it
    would be sent by two at once.
    """

    host: str
    port: int
    tls: SmtpTls
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout_s: float = 20.0
    within_s: float = 60.0


class _Sending:
    """One mail that is sent in a thread, and the way to end that from outside."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._smtp: smtplib.SMTP | None = None
        self._is_over = False

    def go_on_over(self, smtp: smtplib.SMTP) -> None:
        """Note the connection, in the thread; TimeoutError when nobody waits for it any more."""
        with self._lock:
            self._smtp = smtp
            if self._is_over:
                raise TimeoutError("connecting took too long")

    def end(self) -> None:
        """Have the thread meet a closed connection at its next word."""
        with self._lock:
            self._is_over = True
            wire = None if self._smtp is None else self._smtp.sock
        if wire is not None:
            with suppress(OSError):
                # TLS would be shut down by its own words, which the thread may be in the middle of.
                socket.socket.shutdown(wire, socket.SHUT_RDWR)


class SmtpMailer:
    """Sends each mail over a connection of its own, in one of a few threads."""

    def __init__(self, server: SmtpServer, threads: Executor) -> None:
        self._server = server
        self._threads = threads
        self._context = ssl.create_default_context(cafile=server.ca_file)

    async def send(self, message: EmailMessage) -> None:
        """Send a mail."""
        sending, loop = _Sending(), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._server.within_s):
                await loop.run_in_executor(self._threads, self._send, message, sending)
        except TimeoutError:
            raise MailError("the server takes too long") from None
        finally:
            sending.end()

    def _send(self, message: EmailMessage, sending: _Sending) -> None:
        try:
            with self._connected(sending) as smtp:
                smtp.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            status = max((code for code, _ in error.recipients.values()), default=_PERMANENT)
            problem = "the address was refused"
            raise MailError(problem, status=status, is_final=status >= _PERMANENT) from error
        except (smtplib.SMTPHeloError, smtplib.SMTPConnectError) as error:
            raise MailError("the server takes nothing now", status=error.smtp_code) from error
        except smtplib.SMTPAuthenticationError as error:
            # The operator's mistake, which he may mend.
            raise MailError("the server refused our password", status=error.smtp_code) from error
        except smtplib.SMTPResponseException as error:
            is_final = error.smtp_code >= _PERMANENT
            raise MailError(
                "the server refused the mail", status=error.smtp_code, is_final=is_final
            ) from error
        except smtplib.SMTPNotSupportedError as error:
            raise MailError("the server lacks what the mail needs") from error
        except ssl.SSLError as error:
            raise MailError("the server's certificate does not hold") from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailError("the server does not answer") from error
        except ValueError as error:
            raise MailError("the mail cannot be sent", is_final=True) from error

    def _connected(self, sending: _Sending) -> smtplib.SMTP:
        server = self._server
        if server.tls is SmtpTls.TLS:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=server.timeout_s, context=self._context
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)
        try:
            sending.go_on_over(smtp)
            if server.tls is SmtpTls.STARTTLS:
                smtp.starttls(context=self._context)
            if server.user is not None and server.password is not None:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp


class MemoryMailer:
    """Keeps what it is sent, for tests; a mail goes over the same wire form as to a server."""

    def __init__(self) -> None:
        self.sent: list[EmailMessage] = []
        self.refuses: MailError | None = None

    async def send(self, message: EmailMessage) -> None:
        """Keep a mail."""
        if self.refuses is not None:
            raise self.refuses
        if not message["To"]:
            raise MailError("the address was refused", status=_PERMANENT, is_final=True)
        message.as_bytes(policy=SMTP)
        self.sent.append(message)
