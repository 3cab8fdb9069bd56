"""What the HTTP edge refuses, before it reads and after."""

import json
from typing import Any

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_gateway.body_limit import JSON_BYTES, BodyLimit
from parley_gateway.http_errors import SECURITY_HEADERS, error_response
from parley_gateway.identity import Doorkeeper, Secrets
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

KEY = {"authorization": "Bearer pk_right"}
DOORKEEPER = Doorkeeper(Secrets("pk_right", b"\x01" * 32), session_s=60)


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
    app = BodyLimit(reading_app, DOORKEEPER, max_upload_bytes=1000)
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


async def test_a_body_within_its_limit_is_passed_on() -> None:
    asked = await ask("/api/search", KEY, b"x" * 100)
    assert (asked.status, asked.body) == (200, b"100")


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_every_error_has_its_shape_and_the_headers_that_go_with_it(code: ErrorCode) -> None:
    request = Request({"type": "http", "method": "GET", "path": "/api/x", "query_string": b"", "headers": []})
    response = error_response(request, ParleyError(code, "Why.").body())
    error = json.loads(bytes(response.body))["error"]
    assert {"code", "message", "retryable", "request_id"} <= set(error)
    assert {name.lower() for name in SECURITY_HEADERS} <= set(response.headers)
    assert ("retry-after" in response.headers) == (code in {ErrorCode.OVERLOADED, ErrorCode.UNAVAILABLE})
