"""Refuses requests that two servers in a row might read differently, and heads that are too large."""

import re
from collections import Counter

from parley_contracts.errors import ErrorCode, ParleyError
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from parley_gateway.http_errors import error_response
from parley_gateway.http_protocol import MAX_HEADER_BYTES

VERSIONS = ("1.0", "1.1")
PROBES = frozenset({"/livez", "/readyz"})
"""What may be asked without a host by who speaks HTTP 1.0, which knew none."""
MAX_HEADERS = 100
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
MAX_TARGET_BYTES = 8 * 1024
_ONCE = frozenset(
    {b"authorization", b"content-length", b"content-type", b"host", b"idempotency-key", b"origin"}
    | {b"sec-fetch-site", b"transfer-encoding", b"x-request-id"}
)


class RequestShape:
    """Stands before everything that reads headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and (fault := _fault(scope)):
            status, message = fault
            body = ParleyError(ErrorCode.INVALID_REQUEST, message).body()
            response = error_response(HTTPConnection(scope), body, status)
            # Whatever comes after this head may be meant as a second request.
            response.headers["connection"] = "close"
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _fault(scope: Scope) -> tuple[int, str] | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if scope.get("http_version") not in VERSIONS:
        return 505, "Only HTTP 1.0 and 1.1 are spoken here."
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string", b"")) > MAX_TARGET_BYTES:
        return 414, "The address is too long."
    if (
        len(headers) > MAX_HEADERS
        or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES
    ):
        return 431, "The headers are too many or too long."
    is_handshake = scope["type"] == "websocket"
    reason = _ambiguity(headers, scope["http_version"], is_handshake=is_handshake) or _host_fault(scope)
    return (400, reason) if reason else None


def _host_fault(scope: Scope) -> str | None:
    host = dict(scope["headers"]).get(b"host")
    if host is None and scope["http_version"] == "1.0" and scope["path"] in PROBES:
        # The plain checks of some load balancers; what is answered depends on no host.
        return None
    return None if _HOST.fullmatch(host or b"") else "The header host names no host."


def _ambiguity(headers: list[tuple[bytes, bytes]], version: str, *, is_handshake: bool) -> str | None:
    counts = Counter(name for name, _ in headers)
    if twice := next((name for name in _ONCE if counts[name] > 1), None):
        return f"The header {twice.decode()} is there more than once."
    if counts[b"transfer-encoding"] and (counts[b"content-length"] or version == "1.0"):
        return "The length of the body is told in two ways."
    if is_handshake and (counts[b"transfer-encoding"] or dict(headers).get(b"content-length", b"0") != b"0"):
        # The bytes of a body would be read as frames.
        return "The handshake of a WebSocket has no body."
    return None
