"""The tool `http_request`: which hosts it asks, what it sends, and what a model is told."""

import json

import pytest
from parley_browser.http_hosts import parse_http_hosts
from parley_browser.http_request import HttpTool
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tool_calls import CallTool
from parley_egress import AddressPolicy, Exchanger, parse_networks
from parley_egress.address_policy import HostPort

from tests.fakes.http_receiver import answer_of, open_receiver

LOOPBACK = AddressPolicy(allow_networks=parse_networks("127.0.0.0/8"))


def call(**arguments: object) -> CallTool:
    return CallTool(
        owner_id="ada",
        turn_id="turn",
        call_id="call",
        name="http_request",
        arguments=json.dumps(arguments),
        deadline_ms=0,
    )


def tool(hosts: str, policy: AddressPolicy = LOOPBACK, answer_bytes: int = 1000) -> HttpTool:
    return HttpTool(parse_http_hosts(hosts), Exchanger(policy, within_s=5, answer_bytes=answer_bytes))


@pytest.mark.parametrize(
    ("hosts", "host", "port", "allowed"),
    [
        ("api.example.org", "api.example.org", 443, True),
        ("api.example.org", "api.example.org", 80, True),
        ("api.example.org", "api.example.org", 8443, False),
        ("api.example.org", "www.api.example.org", 443, False),
        ("api.example.org", "api.example.org.evil.test", 443, False),
        ("api.example.org:8443", "api.example.org", 8443, True),
        ("api.example.org:8443", "api.example.org", 443, False),
        ("*.example.org", "a.b.example.org", 443, True),
        ("*.example.org", "example.org", 443, False),
        ("*.example.org", "evilexample.org", 443, False),
        (" API.Example.ORG , b.test", "api.example.org", 443, True),
        ("[2001:db8::1]:8080", "2001:db8::1", 8080, True),
        ("", "api.example.org", 443, False),
    ],
)
def test_only_hosts_that_are_named_are_asked(hosts: str, host: str, port: int, *, allowed: bool) -> None:
    assert parse_http_hosts(hosts).allows(HostPort(host, port)) == allowed


@pytest.mark.parametrize("hosts", ["a b", "*", "http://a.test", "a.test:0", "a.test:x", "a.*.test"])
def test_what_names_no_host_is_no_setting(hosts: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        parse_http_hosts(hosts)


async def test_a_get_tells_status_kind_and_text() -> None:
    async with open_receiver() as receiver:
        receiver.answers = [answer_of(200, "Content-Type: application/json\r\n", b'{"a": 1}')]
        result = await tool(f"127.0.0.1:{receiver.port}").run(call(url=f"{receiver.url}?q=1"))
    assert result.text == 'HTTP status 200\ncontent-type: application/json\n\n{"a": 1}'
    assert not result.is_error
    (request,) = receiver.received
    assert (request.method, request.path, request.body) == ("GET", "/hook?q=1", b"")
    assert not {"cookie", "authorization", "idempotency-key", "content-length"} & set(request.headers)


async def test_a_post_sends_its_body_and_says_by_what_a_repeat_is_known() -> None:
    async with open_receiver() as receiver:
        receiver.answers = [answer_of(201, "Content-Type: text/plain\r\n", b"made")]
        asked = call(url=receiver.url, method="POST", body='{"a": 1}')
        await tool(f"127.0.0.1:{receiver.port}").run(asked)
    (request,) = receiver.received
    assert (request.method, request.body) == ("POST", b'{"a": 1}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "turn-call"


async def test_a_redirect_is_told_and_not_followed() -> None:
    async with open_receiver() as receiver:
        receiver.answers = [answer_of(302, "Location: http://169.254.169.254/\r\n")]
        result = await tool(f"127.0.0.1:{receiver.port}").run(call(url=receiver.url))
    assert "HTTP status 302" in result.text
    assert "location: http://169.254.169.254/" in result.text
    assert len(receiver.received) == 1


async def test_a_refusal_of_the_server_is_an_error_with_its_words() -> None:
    async with open_receiver() as receiver:
        receiver.answers = [answer_of(404, "Content-Type: text/plain\r\n", b"no such item")]
        result = await tool(f"127.0.0.1:{receiver.port}").run(call(url=receiver.url))
    assert result.is_error
    assert result.text.endswith("no such item")


async def test_a_long_answer_is_cut_and_bytes_are_not_shown() -> None:
    async with open_receiver() as receiver:
        receiver.answers = [
            answer_of(200, "Content-Type: text/plain\r\n", b"a" * 5000),
            answer_of(200, "Content-Type: image/png\r\n", b"\x89PNG"),
        ]
        asking = tool(f"127.0.0.1:{receiver.port}")
        long = await asking.run(call(url=receiver.url))
        picture = await asking.run(call(url=receiver.url))
    assert "(the body is cut)" in long.text
    assert long.text.count("a" * 1000) == 1
    assert "(not text: 4 bytes)" in picture.text


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://elsewhere.test/", ErrorCode.FORBIDDEN),
        ("http://allowed.test@elsewhere.test/", ErrorCode.FORBIDDEN),
        ("http://user:pass@allowed.test/", ErrorCode.INVALID_REQUEST),
        ("ftp://allowed.test/", ErrorCode.INVALID_REQUEST),
        ("http://10.0.0.1/", ErrorCode.REFUSED_ADDRESS),
        ("http://0x0a.1/", ErrorCode.REFUSED_ADDRESS),
    ],
)
async def test_no_other_host_and_no_private_address_is_asked(url: str, code: ErrorCode) -> None:
    asking = tool("allowed.test, 10.0.0.1", AddressPolicy())
    with pytest.raises(ParleyError) as caught:
        await asking.run(call(url=url))
    assert caught.value.code is code


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "http://a.test/", "method": "DELETE"},
        {"url": "http://a.test/", "body": "x"},
        {"url": "http://a.test/", "headers": {"X": "y"}},
        {"url": "http://a.test/", "method": "POST", "body": "x", "content_type": "a/b\r\nX: y"},
        {"url": "http://a.test/", "method": "POST", "body": "x" * 20_001},
        {},
    ],
    ids=["a method", "a body of a GET", "headers", "a header in a type", "a long body", "nothing"],
)
async def test_what_a_model_may_not_say_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ParleyError) as caught:
        await tool("a.test").run(call(**arguments))
    assert caught.value.code is ErrorCode.INVALID_REQUEST
