"""What a proxy in front says of its client, believed of the proxies in the settings and of nobody else."""

from parley_contracts.addresses import read_address
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from parley_gateway.networks import Networks

_SAID = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port"}
)
_SCHEMES = {("http", "http"): "http", ("http", "https"): "https"} | {
    ("websocket", "http"): "ws",
    ("websocket", "https"): "wss",
    # Some proxies, Traefik among them, say it of a WebSocket so.
    ("websocket", "ws"): "ws",
    ("websocket", "wss"): "wss",
}


class ForwardedHeaders:
    """Puts the client, its scheme and its host in their places; whoever reads further sees no such header."""

    def __init__(self, app: ASGIApp, trusted: Networks) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            said = Headers(scope=scope)
            headers = [(name, value) for name, value in scope["headers"] if name not in _SAID]
            scope = {**scope, "headers": headers}
            client = scope.get("client")
            if client and client[0] in self._trusted:
                self._believe(scope, said)
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope, said: Headers) -> None:
        # A proxy adds at the end: what stands before that is the client's own word.
        scheme = _SCHEMES.get((scope["type"], _last(said, "x-forwarded-proto").lower()))
        if scheme:
            scope["scheme"] = scheme
        host = _last(said, "x-forwarded-host")
        if host:
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [(b"host", host.encode("latin-1")), *others]
        for part in reversed(_parts(said, "x-forwarded-for")):
            address = read_address(part)
            if address is None:
                return
            scope["client"] = (str(address), 0)
            if part not in self._trusted:
                return


def _parts(headers: Headers, name: str) -> list[str]:
    return [part.strip() for value in headers.getlist(name) for part in value.split(",")]


def _last(headers: Headers, name: str) -> str:
    return next(iter(reversed(_parts(headers, name))), "")
