"""A POST to somebody else's server, over real sockets; only name resolution is injected."""

import asyncio
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_egress import AddressPolicy, Posted, Poster, PostError, TargetRefusedError, parse_networks
from parley_egress.address_policy import IpAddress

from tests.certificates import Authority
from tests.fakes.http_receiver import answer_of, open_receiver

LOOPBACK = AddressPolicy(allow_networks=parse_networks("127.0.0.0/8"))
NAME = "hooks.example.org"


class Names:
    """A resolver whose answers change from call to call, as a rebinding name server's do."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[IpAddress]:
        del port
        self.asked.append(host)
        return [ip_address(text) for text in self._answers.pop(0)]


def serving(tmp_path: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server of this name speaks TLS with, and who believes it."""
    authority = Authority(tmp_path)
    chain, key = authority.issue(host)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key)
    return server, ssl.create_default_context(cafile=authority.path)


async def test_a_body_is_posted_and_the_answer_told() -> None:
    async with open_receiver() as receiver:
        receiver.answers = [answer_of(503, "Retry-After: 7\r\n")]
        posted = await Poster(LOOPBACK).post(f"{receiver.url}?a=b", b"{}", {"X-One": "1"})
    assert posted == Posted(503, "7")
    (request,) = receiver.received
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=b", b"{}")
    assert request.headers["x-one"] == "1"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://10.1.2.3/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fd00:ec2::254]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://metadata.google.internal/",
    ],
)
async def test_what_is_not_public_is_refused_before_anything_is_resolved(url: str) -> None:
    names = Names()
    with pytest.raises(ParleyError) as refused:
        await Poster(AddressPolicy(), resolve=names).post(url, b"{}", {})
    assert refused.value.code is ErrorCode.REFUSED_ADDRESS
    assert names.asked == []


@pytest.mark.parametrize("url", ["ftp://example.org/", "http://u:p@example.org/", "example.org", "http:///x"])
async def test_what_is_no_url_to_post_to_is_refused(url: str) -> None:
    with pytest.raises(ParleyError) as refused:
        await Poster(AddressPolicy()).post(url, b"{}", {})
    assert refused.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["93.184.216.34", "192.168.0.1"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::7f00:1"],
        ["fe80::1"],
        ["100.100.100.200"],
    ],
)
async def test_a_public_name_that_leads_inside_is_refused(addresses: list[str]) -> None:
    async with open_receiver(host=NAME) as receiver:
        with pytest.raises(TargetRefusedError):
            await Poster(AddressPolicy(), resolve=Names(addresses)).post(receiver.url, b"{}", {})
    assert receiver.received == []


async def test_the_address_that_was_checked_is_connected_to_and_no_name_is_asked_again() -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with open_receiver(host=NAME) as receiver:
        assert (await Poster(LOOPBACK, resolve=names).post(receiver.url, b"{}", {})).status == 200
    assert names.asked == [NAME]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_told_and_not_followed(status: int) -> None:
    async with open_receiver() as receiver, open_receiver() as trap:
        receiver.answers = [answer_of(status, f"Location: {trap.url}\r\n")]
        assert (await Poster(LOOPBACK).post(receiver.url, b"{}", {})).status == status
    assert trap.received == []


async def test_an_endless_answer_is_cut_off() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()

    async with open_receiver() as receiver:
        receiver.answers = [babble]
        assert (await Poster(LOOPBACK, answer_bytes=4096).post(receiver.url, b"{}", {})).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example.org ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000,
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
    ],
    ids=["smtp", "endless-head", "nothing", "cut-short"],
)
async def test_what_is_no_answer_is_an_error_in_our_words(answer: bytes) -> None:
    async with open_receiver() as receiver:
        receiver.answers = [answer]
        with pytest.raises(PostError):
            await Poster(LOOPBACK).post(receiver.url, b"{}", {})


async def test_a_server_that_says_nothing_is_not_waited_for_longer_than_is_set() -> None:
    async def hold(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with open_receiver() as receiver:
        receiver.answers = [hold]
        with pytest.raises(PostError, match="in time"):
            await Poster(LOOPBACK, within_s=0.2).post(receiver.url, b"{}", {})


async def test_nobody_who_listens_is_an_error_in_our_words() -> None:
    async with open_receiver() as receiver:
        url = receiver.url
    with pytest.raises(PostError, match="no connection"):
        await Poster(LOOPBACK).post(url, b"{}", {})


async def test_a_server_proves_the_name_in_the_url_whatever_it_resolves_to(tmp_path: Path) -> None:
    server, believed = serving(tmp_path, NAME)
    async with open_receiver(tls=server, host=NAME) as receiver:
        poster = Poster(LOOPBACK, tls=believed, resolve=Names(["127.0.0.1"], ["127.0.0.1"]))
        assert (await poster.post(receiver.url, b"{}", {})).status == 200
        with pytest.raises(PostError, match="certificate"):
            await poster.post(receiver.url.replace(NAME, "other.example.org"), b"{}", {})
        stranger = Poster(LOOPBACK, resolve=Names(["127.0.0.1"]))
        with pytest.raises(PostError, match="certificate"):
            await stranger.post(receiver.url, b"{}", {})
    assert len(receiver.received) == 1


async def test_a_header_carries_no_other_header() -> None:
    async with open_receiver() as receiver:
        with pytest.raises(PostError):
            await Poster(LOOPBACK).post(receiver.url, b"{}", {"X-One": "1\r\nX-Two: 2"})
    assert receiver.received == []
