"""Sends mail by SMTP: the server's certificate has to hold, and a password never travels unencrypted."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from enum import StrEnum
from pathlib import Path
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
    """The server that sends mail, and how it is spoken to."""

    host: str
    port: int
    tls: SmtpTls
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout_s: float = 20.0


class SmtpMailer:
    """Sends each mail over a connection of its own, in a thread: there are few."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._context = ssl.create_default_context(cafile=server.ca_file)

    async def send(self, message: EmailMessage) -> None:
        """Send a mail."""
        await asyncio.to_thread(self._send, message)

    def _send(self, message: EmailMessage) -> None:
        try:
            with self._connected() as smtp:
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

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.tls is SmtpTls.TLS:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=server.timeout_s, context=self._context
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)
        try:
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
