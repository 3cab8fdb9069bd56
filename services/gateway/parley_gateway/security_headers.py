"""The headers that every response of the edge carries, those to refused WebSockets included."""

from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_gateway.http_errors import NO_PAGE_POLICY, SECURITY_HEADERS
from parley_gateway.identity import is_secure, scheme_of

STRICT_TRANSPORT = "max-age=31536000"
_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})
_PRIVATE = ("/api/", "/v1/", "/metrics")


class SecurityHeaders:
    """Adds them; a page has a content security policy of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers.setdefault("Content-Security-Policy", NO_PAGE_POLICY)
                if scope["path"].startswith(_PRIVATE):
                    headers.setdefault("Cache-Control", "no-store")
                if is_secure(scheme_of(scope)) and _has_name(scope):
                    headers["Strict-Transport-Security"] = STRICT_TRANSPORT
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] != "lifespan" else send)


def _has_name(scope: Scope) -> bool:
    """Return whether the host is a name that one may bind to TLS: `localhost` is everybody's."""
    host, bracket, _ = Headers(scope=scope).get("host", "").partition("]")
    host = host.lstrip("[") if bracket else host.partition(":")[0].lower()
    try:
        ip_address(host)
    except ValueError:
        return bool(host) and host != "localhost" and not host.endswith(".localhost")
    return False
