"""Refuses request bodies before they are read: without a valid key, of another kind or larger than their
route takes.

A body has two clocks as well: one that pauses or trickles is cut off.
"""

import asyncio

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.route_policy import ENTRANCES
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley_gateway.http_errors import error_response
from parley_gateway.identity import SAFE_METHODS, Doorkeeper, scheme_of
from parley_gateway.principal import IDENTIFIED
from parley_gateway.site_door import SITE_PATHS

JSON_BYTES = 4 * 1024 * 1024
SITE_BYTES = 1024 * 1024
LOGIN_BYTES = 8 * 1024
"""Whoever logs in is a stranger yet: what he sends is held while it is not whole."""
MULTIPART_OVERHEAD_BYTES = 64 * 1024
BODY_GAP_S = 30.0
BODY_S = 600.0
UPLOAD_PATH, ATTACHMENT_PATH = "/api/documents", "/api/attachments"
FORM_PATHS = (UPLOAD_PATH, ATTACHMENT_PATH)
INLINE_PATHS = ("/v1/chat/completions", "/v1/responses")
INLINE_BYTES = 16 * 1024 * 1024
"""Of requests that may hold images and files themselves; larger ones are uploaded and named."""
KEYED_PATHS = ("/api/", "/v1/")


class BodyLimit:
    """Answers 401 to strangers, 415 to what is no JSON (for uploads: no form), and 413 by the declared length
    or when a body without one grows too large."""

    def __init__(
        self, app: ASGIApp, doorkeeper: Doorkeeper, max_upload_bytes: int, max_attachment_bytes: int
    ) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._limits = {
            UPLOAD_PATH: max_upload_bytes + MULTIPART_OVERHEAD_BYTES,
            ATTACHMENT_PATH: max_attachment_bytes + MULTIPART_OVERHEAD_BYTES,
            **dict.fromkeys(INLINE_PATHS, INLINE_BYTES),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        limit = self._limit(request)
        try:
            await self._identify(request)
            _check_size(request, limit)
            _check_type(request)
        except ParleyError as error:
            await error_response(request, error.body())(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit), send)

    def _limit(self, request: Request) -> int:
        path = request.scope["path"]
        if path.startswith(SITE_PATHS):
            return SITE_BYTES
        if _is_entrance(request):
            return LOGIN_BYTES
        return self._limits.get(path, JSON_BYTES)

    async def _identify(self, request: Request) -> None:
        path = request.scope["path"]
        if path.startswith(SITE_PATHS):
            return  # `SiteDoor` has let him in
        if path.startswith(KEYED_PATHS) and not _is_entrance(request):
            scheme = scheme_of(request.scope)
            known = await self._doorkeeper.identify(request.method, request.headers, scheme)
            request.scope[IDENTIFIED] = known


def _is_entrance(request: Request) -> bool:
    return (request.method, request.scope["path"]) in ENTRANCES


def _check_size(request: Request, limit: int) -> None:
    """Raise `too_large` for a body that says that it is."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise ParleyError(ErrorCode.TOO_LARGE, f"The body is larger than {limit} bytes.")


def _check_type(request: Request) -> None:
    """Raise `unsupported_type` for a body that says it is something else than its route takes.

    What forms of foreign pages can send without asking first is never JSON.
    """
    headers = request.headers
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if not has_body or request.method in SAFE_METHODS or not request.scope["path"].startswith(KEYED_PATHS):
        return
    found = headers.get("content-type", "").partition(";")[0].strip().lower()
    wanted = "multipart/form-data" if request.scope["path"] in FORM_PATHS else "application/json"
    if found != wanted:
        raise ParleyError(ErrorCode.UNSUPPORTED_TYPE, f"The body must be of the type {wanted}.")


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
