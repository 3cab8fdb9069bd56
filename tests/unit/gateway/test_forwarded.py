"""What proxies say of their clients: believed of those we know."""

from typing import Any

import pytest
from parley_gateway.connections import Connections
from parley_gateway.forwarded import ForwardedHeaders
from parley_gateway.networks import Networks
from starlette.types import Message, Receive, Scope, Send

PROXY = "10.0.0.1"


async def seen(client: str, *headers: tuple[str, str], kind: str = "http") -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.update(scope)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    scope: dict[str, Any] = {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "client": (client, 1234),
        "headers": [(b"host", b"inner"), *((name.encode(), value.encode()) for name, value in headers)],
    }
    await ForwardedHeaders(app, Networks("10.0.0.0/24, fd00::/8"))(scope, receive, send)
    return found


SAID = (
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "chat.example.org"),
    ("x-forwarded-for", "203.0.113.9"),
)


async def test_a_trusted_proxy_is_believed() -> None:
    found = await seen(PROXY, *SAID)
    assert (found["scheme"], found["client"][0]) == ("https", "203.0.113.9")
    assert dict(found["headers"]) == {b"host": b"chat.example.org"}
    assert (await seen(PROXY, *SAID, kind="websocket"))["scheme"] == "wss"


@pytest.mark.parametrize(
    ("said", "scheme"), [("wss", "wss"), ("ws", "ws"), ("HTTPS", "wss"), ("gopher", "ws")]
)
async def test_the_scheme_of_a_socket_is_believed_in_both_spellings(said: str, scheme: str) -> None:
    assert (await seen(PROXY, ("x-forwarded-proto", said), kind="websocket"))["scheme"] == scheme


@pytest.mark.parametrize("client", ["203.0.113.7", "127.0.0.1", "10.0.1.1", "::1", "unix"])
async def test_nobody_else_is_believed_and_what_he_says_is_taken_away(client: str) -> None:
    found = await seen(client, *SAID, ("forwarded", "for=1.2.3.4;proto=https"), ("x-forwarded-port", "443"))
    assert (found["scheme"], found["client"][0]) == ("http", client)
    assert dict(found["headers"]) == {b"host": b"inner"}


async def test_what_a_client_has_put_before_the_proxys_word_is_not_believed() -> None:
    found = await seen(
        PROXY,
        ("x-forwarded-for", "127.0.0.1, 203.0.113.9, 10.0.0.2"),
        ("x-forwarded-host", "evil.example, chat.example.org"),
        ("x-forwarded-proto", "https, http"),
    )
    assert (found["scheme"], found["client"][0]) == ("http", "203.0.113.9")
    assert dict(found["headers"])[b"host"] == b"chat.example.org"


@pytest.mark.parametrize("last", ["<script>", "1.2.3.4%<script>", "1.2.3.4:80", "", "unknown"])
async def test_an_address_that_is_none_ends_the_walk(last: str) -> None:
    found = await seen(PROXY, ("x-forwarded-for", f"1.2.3.4, {last}"))
    assert found["client"][0] == PROXY


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%<script>", "fe80::1"),
        ("203.0.113.9, ::ffff:10.0.0.2, fd00::7", "203.0.113.9"),
    ],
)
async def test_an_address_is_written_in_one_way(said: str, client: str) -> None:
    assert (await seen(PROXY, ("x-forwarded-for", said)))["client"] == (client, 0)


def test_a_host_has_so_many_connections_and_an_ipv6_network_is_one_host() -> None:
    connections = Connections(total=5, per_host=2, uncounted=Networks("127.0.0.0/8"))
    assert [connections.enter("203.0.113.9") for _ in range(3)] == [True, True, False]
    assert not connections.enter("::ffff:203.0.113.9")
    assert [connections.enter(f"2001:db8::{n}") for n in range(1, 4)] == [True, True, False]
    assert [connections.enter("127.0.0.1") for _ in range(2)] == [True, False]
    assert connections.refused == {"host": 3, "total": 1}
    for address in ("203.0.113.9", "203.0.113.9", "2001:db8::1", "2001:db8::2", "127.0.0.1"):
        connections.leave(address)
    assert (len(connections), connections.hosts) == (0, 0)


def test_a_network_that_is_none_is_refused_in_the_settings() -> None:
    with pytest.raises(ValueError, match="has host bits"):
        Networks("10.0.0.1/24")
