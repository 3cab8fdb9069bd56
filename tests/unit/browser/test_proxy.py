"""The proxy over real sockets; only name resolution is injected."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from parley_browser.proxy import FilteringProxy, open_proxy
from parley_browser.read_pass import ReadPass
from parley_egress.address_policy import AddressPolicy, HostPort, IpAddress, parse_allow_hosts

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
PUBLIC = "93.184.216.34"


class Site:
    """A server on loopback that keeps what it was sent and answers each connection with `answer`."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.received: list[bytes] = []
        self.port = 0

    @property
    def host_port(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received.append(await reader.read(65536))
        writer.write(self.answer)
        writer.close()


@asynccontextmanager
async def open_site(answer: bytes = HELLO) -> AsyncGenerator[Site]:
    site = Site(answer)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def admitted(
    proxy: FilteringProxy, max_bytes: int = 100_000, max_requests: int = 20
) -> Generator[tuple[ReadPass, str]]:
    with proxy.admit(max_bytes=max_bytes, max_requests=max_requests) as read_pass:
        credential = b64encode(f"{read_pass.username}:{read_pass.password}".encode()).decode()
        yield read_pass, f"Proxy-Authorization: Basic {credential}\r\n"


async def ask(proxy: FilteringProxy, request: str, then: bytes = b"") -> bytes:
    """Send one request and return all that comes back until the proxy closes."""
    port = urlsplit(proxy.url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            writer.write(request.encode())
            if then:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(then)
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def get(url: str, *headers: str) -> str:
    return f"GET {url} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n{''.join(headers)}\r\n"


def connect(target: str, *headers: str) -> str:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{''.join(headers)}\r\n"


class Names:
    """A resolver whose answers change from call to call, as a rebinding name server's do."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[IpAddress]:
        del port
        self.asked.append(host)
        return [ip_address(text) for text in self._answers.pop(0)]


async def test_an_allowed_http_server_is_reached_without_the_proxys_own_headers() -> None:
    async with (
        open_site() as site,
        open_proxy(AddressPolicy(parse_allow_hosts(site.host_port))) as proxy,
    ):
        with admitted(proxy) as (_, credential):
            answer = await ask(
                proxy,
                get(f"http://{site.host_port}/a?b=c", credential, "Upgrade: x\r\nConnection: Upgrade\r\n"),
            )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"hello")
    sent = site.received[0].lower()
    assert sent.startswith(b"get /a?b=c http/1.1\r\n")
    assert b"proxy-" not in sent
    assert b"upgrade" not in sent


async def test_a_tunnel_carries_bytes_both_ways() -> None:
    async with (
        open_site(b"pong") as site,
        open_proxy(AddressPolicy(parse_allow_hosts(site.host_port))) as proxy,
    ):
        with admitted(proxy) as (_, credential):
            answer = await ask(proxy, connect(site.host_port, credential), then=b"\x16ping")
    assert answer == b"pong"
    assert site.received == [b"\x16ping"]


async def test_a_response_without_a_length_arrives_whole() -> None:
    async with (
        open_site(b"HTTP/1.0 200 OK\r\n\r\nuntil the end") as site,
        open_proxy(AddressPolicy(parse_allow_hosts(site.host_port))) as proxy,
    ):
        with admitted(proxy) as (_, credential):
            answer = await ask(proxy, get(f"http://{site.host_port}/", credential))
    assert b"until the end" in answer


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Proxy-Authorization: Basic eDp5\r\n",
        "Proxy-Authorization: Bearer x\r\n",
        "Authorization: Basic eDp5\r\n",
    ],
)
async def test_the_proxy_serves_nobody_without_a_pass(header: str) -> None:
    async with (
        open_site() as site,
        open_proxy(AddressPolicy(parse_allow_hosts(site.host_port))) as proxy,
    ):
        with admitted(proxy):
            plain = await ask(proxy, get(f"http://{site.host_port}/", header))
            tunnel = await ask(proxy, connect(site.host_port, header))
    assert plain.startswith(b"HTTP/1.1 407 ")
    assert tunnel.startswith(b"HTTP/1.1 407 ")
    assert site.received == []


async def test_a_pass_is_void_when_its_read_is_over() -> None:
    async with (
        open_site() as site,
        open_proxy(AddressPolicy(parse_allow_hosts(site.host_port))) as proxy,
    ):
        with admitted(proxy) as (_, credential):
            pass
        answer = await ask(proxy, get(f"http://{site.host_port}/", credential))
    assert answer.startswith(b"HTTP/1.1 407 ")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "127.1"])
async def test_a_private_target_is_refused_and_never_connected_to(host: str) -> None:
    async with open_site() as site, open_proxy(AddressPolicy()) as proxy:
        with admitted(proxy) as (read_pass, credential):
            plain = await ask(proxy, get(f"http://{host}:{site.port}/", credential))
            tunnel = await ask(proxy, connect(f"{host}:{site.port}", credential))
            refused = {target.port for target in read_pass.refused}
    assert plain.startswith(b"HTTP/1.1 403 ")
    assert tunnel.startswith(b"HTTP/1.1 403 ")
    assert refused == {site.port}
    assert site.received == []


async def test_the_proxy_is_no_way_to_itself() -> None:
    async with open_proxy(AddressPolicy()) as proxy:
        with admitted(proxy) as (_, credential):
            answer = await ask(proxy, get(f"{proxy.url}/", credential))
    assert answer.startswith(b"HTTP/1.1 403 ")


async def test_a_name_that_turns_private_is_refused_at_each_connection() -> None:
    names = Names([PUBLIC, "127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"], ["::1"])
    async with open_site() as site, open_proxy(AddressPolicy(), names) as proxy:
        with admitted(proxy) as (read_pass, credential):
            answers = [
                await ask(proxy, get(f"http://rebind.example:{site.port}/", credential)) for _ in range(2)
            ]
            answers += [
                await ask(proxy, connect(f"rebind.example:{site.port}", credential)) for _ in range(2)
            ]
            refused = set(read_pass.refused)
    assert all(answer.startswith(b"HTTP/1.1 403 ") for answer in answers)
    assert refused == {HostPort("rebind.example", site.port)}
    assert names.asked == ["rebind.example"] * 4
    assert site.received == []


async def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    dialled: list[str] = []

    async def refuse_to_dial(host: str, port: int, **_: object) -> None:
        del port
        dialled.append(host)
        raise ConnectionRefusedError

    async with open_site() as site, open_proxy(AddressPolicy(), names) as proxy:
        with admitted(proxy) as (read_pass, credential):
            port = urlsplit(proxy.url).port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with monkeypatch.context() as patch:
                patch.setattr("parley_browser.proxy.asyncio.open_connection", refuse_to_dial)
                writer.write(connect(f"rebind.example:{site.port}", credential).encode())
                first = await reader.read()
                writer.close()
            second = await ask(proxy, connect(f"rebind.example:{site.port}", credential))
            assert read_pass.unreachable == {HostPort("rebind.example", site.port)}
    assert dialled == [PUBLIC]
    assert first.startswith(b"HTTP/1.1 502 ")
    assert second.startswith(b"HTTP/1.1 403 ")
    assert site.received == []


async def test_an_allowed_name_goes_where_it_resolves() -> None:
    async with open_site() as site:
        policy = AddressPolicy(parse_allow_hosts(f"site.example:{site.port}"))
        async with open_proxy(policy, Names(["127.0.0.1"])) as proxy:
            with admitted(proxy) as (_, credential):
                answer = await ask(proxy, get(f"http://site.example:{site.port}/", credential))
    assert answer.endswith(b"hello")


async def test_a_name_that_does_not_resolve_is_unreachable_not_refused() -> None:
    async def resolve_nothing(host: str, port: int) -> list[IpAddress]:
        raise OSError(host, port)

    async with open_proxy(AddressPolicy(), resolve_nothing) as proxy:
        with admitted(proxy) as (read_pass, credential):
            answer = await ask(proxy, get("http://gone.example/", credential))
            assert read_pass.unreachable == {HostPort("gone.example", 80)}
            assert not read_pass.refused
    assert answer.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("target", ["https://example.com/", "ftp://example.com/", "/", "*", "http:///"])
async def test_only_whole_http_urls_and_tunnels_are_served(target: str) -> None:
    async with open_proxy(AddressPolicy()) as proxy:
        with admitted(proxy) as (_, credential):
            answer = await ask(proxy, f"GET {target} HTTP/1.1\r\nHost: example.com\r\n{credential}\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_read_past_its_bytes_is_cut() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000
    async with (
        open_site(body) as site,
        open_proxy(AddressPolicy(parse_allow_hosts(site.host_port))) as proxy,
    ):
        with admitted(proxy, max_bytes=100_000) as (read_pass, credential):
            answer = await ask(proxy, get(f"http://{site.host_port}/", credential))
            assert read_pass.is_over_limit
    assert len(answer) < 250_000


async def test_a_read_past_its_connections_is_cut() -> None:
    async with (
        open_site() as site,
        open_proxy(AddressPolicy(parse_allow_hosts(site.host_port))) as proxy,
    ):
        with admitted(proxy, max_requests=2) as (read_pass, credential):
            answers = [await ask(proxy, get(f"http://{site.host_port}/", credential)) for _ in range(3)]
            assert read_pass.is_over_limit
    assert [answer.endswith(b"hello") for answer in answers] == [True, True, False]


async def test_closing_the_proxy_ends_open_tunnels() -> None:
    accepted = asyncio.Event()
    ended = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, asyncio.timeout(10):
        async with open_proxy(AddressPolicy(parse_allow_hosts(target))) as proxy:
            with admitted(proxy) as (_, credential):
                reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(proxy.url).port)
                writer.write(connect(target, credential).encode())
                await reader.readuntil(b"\r\n\r\n")
                await accepted.wait()
        await ended.wait()
        assert await reader.read() == b""
        writer.close()
