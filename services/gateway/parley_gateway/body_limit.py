"""Refuses request bodies before they are read: without a valid key, or larger than their route takes.

A body has two clocks as well: one that pauses or trickles is cut off.
"""

import asyncio

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.route_policy import ENTRANCES
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_gateway.http_errors import error_response
from parley_gateway.identity import Doorkeeper
from parley_gateway.principal import IDENTIFIED
from parley_gateway.site_door import SITE_PATHS

JSON_BYTES = 4 * 1024 * 1024
SITE_BYTES = 1024 * 1024
MULTIPART_OVERHEAD_BYTES = 64 * 1024
BODY_GAP_S = 30.0
BODY_S = 600.0
UPLOAD_PATH = "/api/documents"
KEYED_PATHS = ("/api/", "/v1/")


class BodyLimit:
    """Answers 401 to strangers, and 413 by the declared length or when a body without one grows too large."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper, max_upload_bytes: int) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._max_upload_bytes = max_upload_bytes + MULTIPART_OVERHEAD_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            await self._identify(request)
        except ParleyError as error:
            await error_response(request, error.body())(scope, receive, send)
            return
        limit = self._limit_of(scope["path"])
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            fault = ParleyError(ErrorCode.TOO_LARGE, f"The body is larger than {limit} bytes.")
            await error_response(request, fault.body())(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit), send)

    def _limit_of(self, path: str) -> int:
        if path.startswith(SITE_PATHS):
            return SITE_BYTES
        return self._max_upload_bytes if path == UPLOAD_PATH else JSON_BYTES

    async def _identify(self, request: Request) -> None:
        path = request.url.path
        if path.startswith(SITE_PATHS):
            return  # `SiteDoor` has let him in
        if path.startswith(KEYED_PATHS) and (request.method, path) not in ENTRANCES:
            request.scope[IDENTIFIED] = await self._doorkeeper.identify(request.method, request.headers)


def _counted(receive: Receive, limit: int) -> Receive:
    left = limit
    is_whole = False
    deadline_s = asyncio.get_running_loop().time() + BODY_S

    async def counted() -> Message:
        nonlocal left, is_whole
        if is_whole:
            # What comes now is the client's leaving, and that may take as long as the answer.
            return await receive()
        message = await _in_time(receive, deadline_s)
        left -= len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if left < 0:
            raise HTTPException(413, f"The body is larger than {limit} bytes")
        return message

    return counted


async def _in_time(receive: Receive, deadline_s: float) -> Message:
    gap_s = asyncio.get_running_loop().time() + BODY_GAP_S
    try:
        async with asyncio.timeout_at(min(deadline_s, gap_s)):
            return await receive()
    except TimeoutError:
        raise HTTPException(408, "The body did not arrive in time") from None
