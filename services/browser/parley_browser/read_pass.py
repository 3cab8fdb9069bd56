"""What one read may fetch through the proxy, what it fetched, and what it was refused."""

import asyncio
import hmac
import secrets
from base64 import b64encode
from collections.abc import Generator
from contextlib import contextmanager

from parley_egress.address_policy import HostPort


class ReadPass:
    """The credential of one read, with its limits; cut when they are passed and when the read ends.

    Attributes:
        refused: Targets that were refused for their address.
        unreachable: Targets whose name did not resolve or which accepted no connection.
        is_over_limit: Whether the read asked for more than it may have.
    """

    def __init__(self, *, max_bytes: int, max_requests: int) -> None:
        self.username = secrets.token_hex(8)
        self.password = secrets.token_urlsafe(24)
        self.refused: set[HostPort] = set()
        self.unreachable: set[HostPort] = set()
        self.is_over_limit = False
        self._is_cut = False
        self._bytes_left = max_bytes
        self._requests_left = max_requests
        self._connections_left = max_requests
        self._writers: set[asyncio.StreamWriter] = set()

    def opens(self, authorization: bytes) -> bool:
        """Return whether a Proxy-Authorization header carries this pass."""
        expected = b"Basic " + b64encode(f"{self.username}:{self.password}".encode())
        return hmac.compare_digest(authorization, expected)

    def count_bytes(self, size_bytes: int) -> None:
        self._bytes_left -= size_bytes
        if self._bytes_left < 0:
            self._exceed()

    def count_request(self) -> None:
        self._requests_left -= 1
        if self._requests_left < 0:
            self._exceed()

    @contextmanager
    def carrying(self, writer: asyncio.StreamWriter) -> Generator[None]:
        """Bind a client's connection to this pass: it is aborted when the pass is cut."""
        self._connections_left -= 1
        if self._connections_left < 0:
            self._exceed()
        with self.holding(writer):
            yield

    @contextmanager
    def holding(self, writer: asyncio.StreamWriter) -> Generator[None]:
        """Abort `writer` when the pass is cut, at once if it already is."""
        if self._is_cut:
            writer.transport.abort()
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()

    def cut(self) -> None:
        """Abort every connection of this read, and those it would still open."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def _exceed(self) -> None:
        self.is_over_limit = True
        self.cut()
