"""One HTTP POST to somebody else's server: no redirects, no cookies, no proxy; bounded in size and time."""

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


class PostError(Exception):
    """No answer that can be read came in time; its text tells nothing of the network."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What a server answered; its body is nobody's business."""

    status: int
    retry_after: str | None = None


class Poster:
    """Posts to servers that the policy lets through; their certificates have to hold."""

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
            within_s: How long a post may take, name and connection included.
            answer_bytes: How much of an answer's body is waited for; a longer one is cut off.
        """
        self._policy = policy
        self._tls = tls or ssl.create_default_context()
        self._resolve = resolve
        self._within_s = within_s
        self._answer_bytes = answer_bytes

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Send a body and return what is answered, a redirect as any other answer.

        Raises:
            ParleyError: `invalid_request` or `refused_address`: the URL is none that may be posted to.
            TargetRefusedError: What its name resolves to may not be reached.
            PostError: No answer came, or none that is HTTP.
        """
        target = self._policy.check_url(url)
        try:
            async with asyncio.timeout(self._within_s):
                return await self._exchange(url, target, body, headers)
        except ssl.SSLCertVerificationError as error:
            raise PostError("the certificate does not hold") from error
        except TimeoutError as error:
            raise PostError("no answer came in time") from error
        except OSError as error:
            raise PostError("no connection could be made, or it was lost") from error
        except h11.RemoteProtocolError as error:
            raise PostError("what was answered is not HTTP") from error
        except (h11.LocalProtocolError, UnicodeError) as error:
            raise PostError("the URL or a header cannot be sent") from error

    async def _exchange(self, url: str, target: HostPort, body: bytes, headers: Mapping[str, str]) -> Posted:
        parts = urlsplit(url)
        tls = self._tls if parts.scheme == "https" else None
        connection = await dial(self._policy, target, self._resolve, tls=tls)
        try:
            client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT_BYTES)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            request = h11.Request(
                method="POST",
                target=path,
                headers=[
                    ("Host", parts.netloc),
                    ("Content-Length", str(len(body))),
                    ("Connection", "close"),
                    *headers.items(),
                ],
            )
            head, data, end = (
                client.send(request),
                client.send(h11.Data(body)),
                client.send(h11.EndOfMessage()),
            )
            await _write(connection, (head or b"") + (data or b"") + (end or b""))
            return await self._read(client, connection)
        finally:
            await _close(connection)

    async def _read(self, client: h11.Connection, connection: Connection) -> Posted:
        answer, left_bytes = None, self._answer_bytes
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                client.receive_data(await connection[0].read(_READ_BYTES))
            elif isinstance(event, h11.Response):
                answer = event
            elif isinstance(event, h11.Data):
                left_bytes -= len(event.data)
            if answer is not None and (left_bytes < 0 or isinstance(event, h11.EndOfMessage)):
                return _posted(answer)
            if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                raise ConnectionError("the server left without an answer")


def _posted(answer: h11.Response) -> Posted:
    waits = [value for name, value in answer.headers if name == b"retry-after"]
    return Posted(answer.status_code, waits[0].decode("latin-1") if waits else None)


async def _write(connection: Connection, sent: bytes) -> None:
    connection[1].write(sent)
    await connection[1].drain()


async def _close(connection: Connection) -> None:
    connection[1].close()
    with suppress(OSError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await connection[1].wait_closed()
