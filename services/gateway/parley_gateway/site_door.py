"""Stands before the chat of sites: which page asks which bot is settled before anything is read.

Pages of other origins may ask a bot that allows them, without our cookie and without a key. Only they are
told that they may (CORS). No origin, or one that is not allowed, is refused before the body is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from parley_contracts.bots import PublicBot
from parley_contracts.errors import ErrorCode, ParleyError
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_gateway.asked_request import REQUEST_ID
from parley_gateway.http_errors import error_response
from parley_gateway.known_bots import KnownBots

SITE_PATHS = "/api/chat/"
SITE = "parley.site"
"""Where the scope of a request keeps which bot is asked from where."""
VISITOR_HEADER = "Parley-Visitor"
PREFLIGHT_S = 600

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST, DELETE",
    "Access-Control-Allow-Headers": f"Content-Type, Idempotency-Key, {VISITOR_HEADER}, {REQUEST_ID}",
    "Access-Control-Max-Age": str(PREFLIGHT_S),
}
_EXPOSED = f"{VISITOR_HEADER}, Retry-After, RateLimit, RateLimit-Policy, {REQUEST_ID}"


@dataclass(frozen=True, slots=True)
class Site:
    """A page that may ask a bot."""

    bot: PublicBot
    origin: str


class SiteDoor:
    """Lets pages in that the bot allows; everything under other paths passes as it is."""

    def __init__(self, app: ASGIApp, bots: KnownBots) -> None:
        self._app = app
        self._bots = bots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(SITE_PATHS):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            site = await self._site_of(request)
        except ParleyError as error:
            await error_response(request, error.body())(scope, receive, send)
            return
        told = _telling(send, site.origin)
        if request.method == "OPTIONS":
            await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, told)
            return
        scope[SITE] = site
        await self._app(scope, receive, told)

    async def _site_of(self, request: Request) -> Site:
        bot_id = request.url.path.removeprefix(SITE_PATHS).partition("/")[0]
        bot = await self._bots.find(bot_id)
        origin = _only(request.headers.getlist("origin"))
        # Compared whole and as it is: scheme, host and port. `null` is nobody's origin.
        if origin is None or origin not in bot.settings.allowed_origins:
            raise ParleyError(ErrorCode.FORBIDDEN, "The bot is not asked from this page.", field="origin")
        return Site(bot, origin)


def _only(values: Sequence[str]) -> str | None:
    return values[0] if len(values) == 1 else None


def _telling(send: Send, origin: str) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _EXPOSED
            headers.add_vary_header("Origin")
        await send(message)

    return told
