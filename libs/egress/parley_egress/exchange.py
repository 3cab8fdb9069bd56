"""One HTTP exchange with another server: no redirects, no cookies, no proxy; bounded in size and time."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

from parley_egress.address_policy import AddressPolicy, HostPort
from parley_egress.dialing import Connection, Resolver, dial, resolve_name

_HEAD_LIMIT_BYTES = 16 * 1024
_READ_BYTES = 16 * 1024
_CLOSE_TIMEOUT_S = 1.0


class ExchangeError(Exception):
    """No answer that can be read came in time; its text tells nothing of the network."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked; a body goes with it where there is one."""

    method: str
    url: str
    body: bytes | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, and as much of its body as was waited for."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    is_cut: bool

    def header(self, name: str) -> str | None:
        """Return the first header of a name, in small letters; None where there is none."""
        wanted = name.encode()
        return next((value.decode("latin-1") for found, value in self.headers if found == wanted), None)


class Exchanger:
    """Asks servers that the policy lets through; their certificates have to hold."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolver = resolve_name,
        within_s: float = 15.0,
        answer_bytes: int = 64 * 1024,
    ) -> None:
        """Take what may be reached.

        Args:
            policy: Which addresses may be reached.
            tls: Which certificates are believed; None takes those of the system.
            resolve: Tells the addresses of a name.
            within_s: How long an exchange may take, name and connection included.
            answer_bytes: How much of an answer's body is waited for; a longer one is cut off.
        """
        self._policy = policy
        self._tls = tls or ssl.create_default_context()
        self._resolve = resolve
        self._within_s = within_s
        self._answer_bytes = answer_bytes

    async def exchange(self, asked: Asked) -> Answer:
        """Ask, and return what is answered, a redirect as any other answer.

        Raises:
            ParleyError: `invalid_request` or `refused_address`: the URL is none that may be asked.
            TargetRefusedError: What its name resolves to may not be reached.
            ExchangeError: No answer came, or none that is HTTP.
        """
        target = self._policy.check_url(asked.url)
        try:
            async with asyncio.timeout(self._within_s):
                return await self._exchange(asked, target)
        except ssl.SSLCertVerificationError as error:
            raise ExchangeError("the certificate does not hold") from error
        except TimeoutError as error:
            raise ExchangeError("no answer came in time") from error
        except OSError as error:
            raise ExchangeError("no connection could be made, or it was lost") from error
        except h11.RemoteProtocolError as error:
            raise ExchangeError("what was answered is not HTTP") from error
        except (h11.LocalProtocolError, UnicodeError) as error:
            raise ExchangeError("the URL or a header cannot be sent") from error

    async def _exchange(self, asked: Asked, target: HostPort) -> Answer:
        parts = urlsplit(asked.url)
        tls = self._tls if parts.scheme == "https" else None
        connection = await dial(self._policy, target, self._resolve, tls=tls)
        try:
            client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT_BYTES)
            connection[1].write(_sent(client, asked))
            await connection[1].drain()
            return await self._read(client, connection)
        finally:
            await _close(connection)

    async def _read(self, client: h11.Connection, connection: Connection) -> Answer:
        answer, body = None, bytearray()
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(await connection[0].read(_READ_BYTES))
            elif isinstance(event, h11.Response):
                answer = event
            elif isinstance(event, h11.Data):
                body += event.data
            is_cut = len(body) > self._answer_bytes
            if answer is not None and (is_cut or isinstance(event, h11.EndOfMessage)):
                headers = tuple((bytes(name), bytes(value)) for name, value in answer.headers)
                return Answer(answer.status_code, headers, bytes(body[: self._answer_bytes]), is_cut)
            if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                raise ConnectionError("the server left without an answer")


def _sent(client: h11.Connection, asked: Asked) -> bytes:
    """Return a request as it goes over the wire."""
    parts = urlsplit(asked.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    length = [] if asked.body is None else [("Content-Length", str(len(asked.body)))]
    request = h11.Request(
        method=asked.method,
        target=path,
        headers=[("Host", parts.netloc), *length, ("Connection", "close"), *asked.headers.items()],
    )
    events = [request, *([] if asked.body is None else [h11.Data(asked.body)]), h11.EndOfMessage()]
    return b"".join(client.send(event) or b"" for event in events)


async def _close(connection: Connection) -> None:
    connection[1].close()
    with suppress(OSError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await connection[1].wait_closed()
