"""What the HTTP edge refuses, before it reads and after."""

import asyncio
import json
from typing import Any

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_gateway import body_limit
from parley_gateway.body_limit import JSON_BYTES, LOGIN_BYTES, BodyLimit
from parley_gateway.http_errors import SECURITY_HEADERS, error_response
from parley_gateway.identity import Doorkeeper, Secrets
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from tests.unit.gateway.known_keys import OWNER, KnownKeys

KEY = {"authorization": "Bearer pk_right"}
DOORKEEPER = Doorkeeper(KnownKeys({"pk_right": OWNER}), Secrets("pk_right", b"\x01" * 32), session_s=60)


async def reading_app(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


class Asked:
    """One request to an application, and what it read and sent."""

    def __init__(self) -> None:
        self.was_read = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")


async def ask(path: str, headers: dict[str, str], body: bytes = b"") -> Asked:
    asked = Asked()

    async def receive() -> Message:
        asked.was_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    app = BodyLimit(reading_app, DOORKEEPER, max_upload_bytes=1000, max_attachment_bytes=1000)
    await app(scope, receive, asked.send)
    return asked


@pytest.mark.parametrize("path", ["/api/documents", "/v1/chat/completions"])
async def test_a_strangers_body_is_not_read(path: str) -> None:
    asked = await ask(path, {"content-length": "10"}, b"x" * 10)
    assert (asked.status, asked.was_read) == (401, False)


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    asked = await ask("/api/documents", {**KEY, "content-length": str(10**9)})
    assert (asked.status, asked.was_read) == (413, False)
    assert json.loads(asked.body)["error"]["code"] == "too_large"


async def test_a_body_that_hides_its_size_is_cut_off() -> None:
    with pytest.raises(Exception, match="larger than"):
        await ask("/api/search", KEY, b"x" * (JSON_BYTES + 1))


async def test_of_a_stranger_who_logs_in_little_is_held() -> None:
    path = "/api/auth/session"
    declared = {"content-type": "application/json", "content-length": str(LOGIN_BYTES + 1)}
    asked = await ask(path, declared)
    assert (asked.status, asked.was_read) == (413, False)
    with pytest.raises(HTTPException, match="larger than"):
        await ask(path, {}, b"x" * (LOGIN_BYTES + 1))


async def test_a_body_within_its_limit_is_passed_on() -> None:
    asked = await ask("/api/search", KEY, b"x" * 100)
    assert (asked.status, asked.body) == (200, b"100")


async def ask_slowly(pieces: int) -> int:
    """Send so many pieces of a body that has one more; return the status that it is refused with."""
    asked, sent = Asked(), 0

    async def receive() -> Message:
        nonlocal sent
        sent += 1
        if sent > pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"x", "more_body": True}

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/api/search",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer pk_right")],
    }
    with pytest.raises(HTTPException) as caught:
        await BodyLimit(reading_app, DOORKEEPER, max_upload_bytes=1000, max_attachment_bytes=1000)(
            scope, receive, asked.send
        )
    return caught.value.status_code


async def test_a_body_that_pauses_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "BODY_GAP_S", 0.05)
    assert await ask_slowly(3) == 408


async def test_a_body_that_trickles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "BODY_S", 0.05)
    assert await ask_slowly(3) == 408


async def test_waiting_for_a_client_to_leave_has_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "BODY_GAP_S", 0.02)
    left = asyncio.Event()

    async def receive() -> Message:
        if asked.was_read:
            await left.wait()
            return {"type": "http.disconnect"}
        asked.was_read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def streaming_app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        asyncio.get_running_loop().call_later(0.1, left.set)
        assert (await receive())["type"] == "http.disconnect"
        await PlainTextResponse("it left")(scope, receive, send)

    asked = Asked()
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [],
    }
    await BodyLimit(streaming_app, DOORKEEPER, max_upload_bytes=1000, max_attachment_bytes=1000)(
        scope, receive, asked.send
    )
    assert asked.body == b"it left"


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_every_error_has_its_shape_and_the_headers_that_go_with_it(code: ErrorCode) -> None:
    request = Request({"type": "http", "method": "GET", "path": "/api/x", "query_string": b"", "headers": []})
    response = error_response(request, ParleyError(code, "Why.").body())
    error = json.loads(bytes(response.body))["error"]
    assert {"code", "message", "retryable", "request_id"} <= set(error)
    assert {name.lower() for name in SECURITY_HEADERS} <= set(response.headers)
    comes_back = {
        ErrorCode.OVERLOADED,
        ErrorCode.UNAVAILABLE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.QUOTA_EXCEEDED,
    }
    assert ("retry-after" in response.headers) == (code in comes_back)


async def test_a_refusal_says_when_to_come_back_as_far_as_that_is_known() -> None:
    request = Request({"type": "http", "method": "GET", "path": "/api/x", "query_string": b"", "headers": []})
    known = error_response(request, ParleyError(ErrorCode.OVERLOADED, "Why.", retry_after_s=17).body())
    assert known.headers["retry-after"] == "17"
    assert json.loads(bytes(known.body))["error"]["retry_after_s"] == 17
    unknown = error_response(request, ParleyError(ErrorCode.OVERLOADED, "Why.").body())
    assert int(unknown.headers["retry-after"]) >= 1
