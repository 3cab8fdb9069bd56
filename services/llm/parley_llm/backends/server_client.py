"""The HTTP of a server of models: calls for an object, answers that stream, and its failures as ours.

Spoken over aiohttp: through httpx, which the makers' packages are built on, a streamed answer costs twice the
time to its first token and several times the computing.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from parley_contracts.errors import ParleyError
from parley_messaging.circuit import Circuit
from pydantic_core import from_json, to_json

from parley_llm.backends.answer_stream import AnswerStream
from parley_llm.backends.loopback import is_loopback
from parley_llm.backends.server_errors import Refusal, away, broken_off, late, retry_after_s
from parley_llm.backends.server_options import ServerOptions
from parley_llm.backends.wire_format import ChatRequest

KEEP_OPEN_S = 4.0
"""Below what servers commonly allow: a request must not meet a connection that is being closed."""

HTTP_OK = 200
ERROR_BODY_S = 1.0
ERROR_BODY_BYTES = 65_536
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}

RefusalOf = Callable[[int, bytes], Refusal]


class _Connector(aiohttp.TCPConnector):
    """Connects within a time, and not at all for a while where others have waited for that in vain."""

    def __init__(self, connecting: Circuit, connect_s: float) -> None:
        # Every open answer holds a connection: the client's own cap of 100 must not become the service's.
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - aiohttp leaves a part of it untyped
            limit=0, keepalive_timeout=KEEP_OPEN_S
        )
        self._connecting = connecting
        self._connect_s = connect_s

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        with self._connecting.passing(self._connect_s):
            try:
                async with asyncio.timeout(self._connect_s):
                    return await super().connect(req, traces, timeout)
            except (aiohttp.ClientError, OSError) as error:
                raise away() from error


class ServerClient:
    """The calls of one server. Made within a running loop. Raises ParleyError, or ValueError for no JSON."""

    def __init__(self, options: ServerOptions, refusal: RefusalOf, connecting: Circuit) -> None:
        self._url = options.url.rstrip("/")
        self._refusal = refusal
        self._first_token_s = options.first_token_s
        self._gap_s = options.gap_s
        self._whole_s = options.whole_s
        self._session = aiohttp.ClientSession(
            headers=_HEADERS | options.headers(),
            timeout=aiohttp.ClientTimeout(total=None),
            connector=_Connector(connecting, options.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            # A proxy of the environment cannot reach a loopback address.
            trust_env=not is_loopback(options.url),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        model: str = "list",
        timeout_s: float,
    ) -> Any:
        """Return the JSON that the server answers, None for nothing; `model` stands in the errors."""
        data = None if body is None else to_json(body)
        with _translated(model):
            async with (
                asyncio.timeout(timeout_s),
                # A redirect could lead the key elsewhere.
                self._session.request(method, self._at(path), data=data, allow_redirects=False) as response,
            ):
                content = await response.read()
        if response.status != HTTP_OK:
            raise self._refused(response, content, model)
        return from_json(content) if content else None

    @asynccontextmanager
    async def answering(self, request: ChatRequest, model: str) -> AsyncGenerator[AnswerStream]:
        """Ask for an answer and read it in the body; leaving early closes the connection at once."""
        now_s = asyncio.get_running_loop().time()
        until_s, ends_s = now_s + self._first_token_s, now_s + self._whole_s
        data = to_json(request.body)
        with _translated(model):
            async with asyncio.timeout_at(min(until_s, ends_s)):
                response = await self._session.post(self._at(request.path), data=data, allow_redirects=False)
        try:
            if response.status != HTTP_OK:
                raise self._refused(response, await _error_body(response), model)
            clocks = {"until_s": until_s, "gap_s": self._gap_s, "ends_s": ends_s}
            with AnswerStream(response.content, model, **clocks) as stream:
                yield stream
        finally:
            # This closes the connection unless the stream was read to its end.
            response.close()

    def _refused(self, response: aiohttp.ClientResponse, content: bytes, model: str) -> ParleyError:
        after_s = retry_after_s(response.headers.get("Retry-After"))
        return self._refusal(response.status, content).error(model, after_s)

    def _at(self, path: str) -> str:
        return f"{self._url}/{path}"


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    """Return what a refusal says, as far as it comes soon and is short."""
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            return await response.content.read(ERROR_BODY_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        return b""


@contextmanager
def _translated(model: str) -> Generator[None]:
    """Raise what a request raises, until its answer begins, as ParleyError."""
    try:
        yield
    except ParleyError:
        raise
    except TimeoutError as error:
        raise late(model) from error
    except (aiohttp.ClientError, OSError) as error:
        raise broken_off(model, has_begun=False) from error
