"""The forward proxy that stands between Chromium and every network: it resolves, checks, then connects.

Because it connects to the very address it has checked, a name that changes what it resolves to between a
check and a connection (DNS rebinding) gains nothing. It listens on loopback, for holders of a pass.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import h11
from parley_contracts.errors import ParleyError
from parley_egress.address_policy import AddressPolicy, HostPort, parse_host, target_of_url
from parley_egress.dialing import Resolver, TargetRefusedError, dial, resolve_name

from parley_browser.http_relay import HEAD_LIMIT_BYTES, next_event, relay_http, relay_tunnel, reply
from parley_browser.read_pass import ReadPass

log = logging.getLogger("parley.browser")

_HEAD_TIMEOUT_S = 10.0


class FilteringProxy:
    """Serves CONNECT and absolute-form HTTP to holders of a pass, for addresses the policy lets through."""

    def __init__(self, policy: AddressPolicy, resolve: Resolver = resolve_name) -> None:
        self._policy = policy
        self._resolve = resolve
        self._passes: dict[str, ReadPass] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Return where the proxy listens, as Chromium wants it."""
        if self._server is None:
            raise RuntimeError("the proxy is not open")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @contextmanager
    def admit(self, *, max_bytes: int, max_requests: int) -> Generator[ReadPass]:
        """Issue a pass; when the context ends it is void and its connections are cut."""
        read_pass = ReadPass(max_bytes=max_bytes, max_requests=max_requests)
        self._passes[read_pass.username] = read_pass
        try:
            yield read_pass
        finally:
            del self._passes[read_pass.username]
            read_pass.cut()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        if connection is None:
            raise RuntimeError("a connection is served by a task")
        self._connections.add(connection)
        try:
            await self._answer(reader, writer)
        except (OSError, TimeoutError, h11.ProtocolError) as error:
            log.debug("proxy connection ended early", extra={"error": type(error).__name__})
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        async with asyncio.timeout(_HEAD_TIMEOUT_S):
            request = await next_event(client, reader)
        if not isinstance(request, h11.Request):
            return
        read_pass = self._pass_of(request)
        if read_pass is None:
            challenge = (b"Proxy-Authenticate", b'Basic realm="parley"')
            await reply(client, writer, 407, [challenge])
            return
        with read_pass.carrying(writer):
            await self._carry(read_pass, request, client, reader, writer)

    def _pass_of(self, request: h11.Request) -> ReadPass | None:
        sent = [value for name, value in request.headers if name == b"proxy-authorization"]
        if len(sent) != 1:
            return None
        return next((read_pass for read_pass in self._passes.values() if read_pass.opens(sent[0])), None)

    async def _carry(
        self,
        read_pass: ReadPass,
        request: h11.Request,
        client: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            target = _target_of(request)
        except (ValueError, ParleyError):
            await reply(client, writer, 400)
            return
        try:
            upstream_reader, upstream_writer = await dial(self._policy, target, self._resolve)
        except TargetRefusedError as refusal:
            if target not in read_pass.refused:
                log.warning("address refused", extra={"port": target.port, "reason": str(refusal)})
            read_pass.refused.add(target)
            await reply(client, writer, 403)
            return
        except OSError:
            read_pass.unreachable.add(target)
            await reply(client, writer, 502)
            return
        relay = relay_tunnel if request.method == b"CONNECT" else relay_http
        with read_pass.holding(upstream_writer):
            await relay(
                request, client, (reader, writer), (upstream_reader, upstream_writer), read_pass.count_bytes
            )


def _target_of(request: h11.Request) -> HostPort:
    target = request.target.decode("ascii")
    if request.method != b"CONNECT":
        if not target.startswith("http://"):
            raise ValueError("https is tunnelled, and a proxy is asked for whole URLs")
        return target_of_url(target)
    host, _, port = target.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("CONNECT names a host and a port")
    return HostPort(str(parse_host(host)), int(port))


@asynccontextmanager
async def open_proxy(
    policy: AddressPolicy, resolve: Resolver = resolve_name
) -> AsyncGenerator[FilteringProxy]:
    """Open the proxy on an ephemeral loopback port and close it with its connections."""
    proxy = FilteringProxy(policy, resolve)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
