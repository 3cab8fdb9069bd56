"""Limits before the routes: by address before anything is done, by who asks before a body is read."""

import re

from parley_contracts.errors import ParleyError
from parley_contracts.route_policy import ENTRANCES
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_gateway.http_errors import error_response
from parley_gateway.identity import SAFE_METHODS, SECURE_SESSION_COOKIE, SESSION_COOKIE
from parley_gateway.limits import Asking, Kind, Limits, asks, described
from parley_gateway.principal import IDENTIFIED, Principal
from parley_gateway.site_door import SITE_PATHS

ASKING = "parley.asking"
"""Where the scope keeps what limits know of a request."""

_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})
_FREE = frozenset({"/v1/health"})
_TURNS = frozenset({("POST", "/v1/chat/completions"), ("POST", "/v1/responses")})
_WORK = frozenset(
    {
        ("POST", "/v1/embeddings"),
        ("POST", "/api/search"),
        ("POST", "/api/documents"),
        ("POST", "/api/documents/url"),
        ("POST", "/api/attachments"),
        ("POST", "/api/account/exports"),
    }
)

_WEBHOOK_TEST = re.compile(r"/api/webhooks/[^/]+/test")
"""It has somebody else's server asked."""


class AddressDoor:
    """Limits strangers by their address, has wrong credentials paid for, and tells of limits in answers."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        asking = scope[ASKING] = Asking(self._limits.host(client[0] if client else None))
        asks(asking)
        name = _entered_by(scope)
        telling = _Telling(send, asking)
        try:
            if name is not None:
                await self._limits.enter(asking, name)
        except ParleyError as error:
            await error_response(HTTPConnection(scope), error.body())(scope, receive, telling.send)
            return
        await self._app(scope, receive, telling.send)
        if telling.status == 401 and (name is not None or _shows_credentials(scope)):
            await self._limits.note_wrong(asking, name or "host_credentials")


class _Telling:
    """Adds the headers to an answer, and sees how it begins."""

    def __init__(self, send: Send, asking: Asking) -> None:
        self.status = 0
        self._send = send
        self._asking = asking

    async def send(self, message: Message) -> None:
        if message["type"] in _STARTS:
            self.status = message["status"]
            MutableHeaders(scope=message).update(described(self._asking.standings.values()))
        await self._send(message)


def _entered_by(scope: Scope) -> str | None:
    """Return the limit of an address that a request falls under before it is known who asks."""
    if scope["type"] != "http":
        return None
    if (scope["method"], scope["path"]) in ENTRANCES:
        return "host_entrances"
    return "host_visitors" if scope["path"].startswith(SITE_PATHS) else None


def _shows_credentials(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    cookie = headers.get("cookie", "")
    return "authorization" in headers or SESSION_COOKIE in cookie or SECURE_SESSION_COOKIE in cookie


class CallerDoor:
    """Limits those who are known; it stands behind where that is found out."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = scope.get(IDENTIFIED)
        is_limited = scope["type"] == "http" and scope["path"] not in _FREE
        if is_limited and isinstance(principal, Principal):
            try:
                await self._limits.ask(scope[ASKING], principal, _kind(scope))
            except ParleyError as error:
                await error_response(HTTPConnection(scope), error.body())(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _kind(scope: Scope) -> Kind:
    route = (scope["method"], scope["path"])
    if route in _TURNS:
        return Kind.TURNS
    if route in _WORK or (route[0] == "POST" and _WEBHOOK_TEST.fullmatch(route[1])):
        return Kind.WORK
    return Kind.READS if route[0] in SAFE_METHODS else Kind.WRITES
