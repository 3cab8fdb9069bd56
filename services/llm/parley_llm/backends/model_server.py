"""A server that may be away: its client is built when it is first there."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from parley_messaging.circuit import Circuit

from parley_llm.backends.loopback import is_loopback
from parley_llm.backends.server_errors import away
from parley_llm.backends.server_options import ServerOptions

if TYPE_CHECKING:
    from parley_llm.backends.server_client import RefusalOf, ServerClient

KNOCK_S = 1.0
"""Longest wait for a connection within this machine."""


class ModelServer:
    """Holds the client of one server. Importing it takes time and memory: most machines have no server."""

    def __init__(self, options: ServerOptions, refusal: "RefusalOf", connecting: Circuit) -> None:
        self._options = options
        self._refusal = refusal
        self._connecting = connecting
        self._client: ServerClient | None = None
        # One builds while the others wait: the import holds the interpreter for longer than a knock may take.
        self._building = asyncio.Lock()

    async def client(self) -> "ServerClient":
        """Return the client. Raises ParleyError unavailable when nobody has ever listened there."""
        if self._client is not None:
            return self._client
        async with self._building:
            if self._client is None:
                if is_loopback(self._options.url):
                    knock_s = min(KNOCK_S, self._options.connect_s)
                    with self._connecting.passing(knock_s):
                        await _knock(self._options.url, knock_s)
                client_of = await asyncio.to_thread(_import_client)
                self._client = client_of(self._options, self._refusal, self._connecting)
            return self._client

    async def close(self) -> None:
        """Close the connections to the server."""
        if self._client is not None:
            await self._client.close()


async def _knock(url: str, timeout_s: float) -> None:
    """Raise ParleyError unavailable unless somebody accepts a connection."""
    address = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_s):
            port = address.port or (443 if address.scheme == "https" else 80)
            _, writer = await asyncio.open_connection(address.hostname, port)
    except OSError as error:
        raise away() from error
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _import_client() -> "type[ServerClient]":
    from parley_llm.backends.server_client import ServerClient  # noqa: PLC0415 - only with a server

    return ServerClient
