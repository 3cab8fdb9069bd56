"""Every HTTP error in one shape, with the id of its request; OpenAI paths use OpenAI's shape."""

import logging
from typing import Any
from uuid import uuid4

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from parley_contracts import invalid_fields
from parley_contracts.errors import HTTP_STATUS, ErrorBody, ErrorCode, ParleyError
from parley_messaging.error_boundary import described
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse

from parley_gateway.asked_request import ASKED, REQUEST_ID, Asked

log = logging.getLogger("parley.gateway")

RETRY_AFTER_S = 2
"""For refusals of parts that cannot estimate when they will have room."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""What every HTTP response carries; that to a crash is made outside of the middleware that adds them."""

NO_PAGE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The content security policy of what is no page."""

_OPENAI_TYPES = {
    ErrorCode.INVALID_REQUEST: "invalid_request_error",
    ErrorCode.UNAUTHENTICATED: "invalid_request_error",
    ErrorCode.NOT_FOUND: "invalid_request_error",
    ErrorCode.MODEL_NOT_FOUND: "invalid_request_error",
    ErrorCode.OVERLOADED: "rate_limit_error",
    ErrorCode.RATE_LIMITED: "rate_limit_error",
    ErrorCode.QUOTA_EXCEEDED: "insufficient_quota",
}
_OPENAI_CODES = {
    ErrorCode.UNAUTHENTICATED: "invalid_api_key",
    ErrorCode.RATE_LIMITED: "rate_limit_exceeded",
    ErrorCode.QUOTA_EXCEEDED: "insufficient_quota",
}
_COME_BACK = frozenset(
    {ErrorCode.OVERLOADED, ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED, ErrorCode.QUOTA_EXCEEDED}
)
_STATUS_CODES = {
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    413: ErrorCode.TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_TYPE,
}


class Fault(BaseModel):
    """What went wrong. Paths under `/v1/` add OpenAI's `type` and `param`."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """The answer to whatever is refused or fails."""

    error: Fault


def openai_error(body: ErrorBody) -> dict[str, Any]:
    """Return an error in OpenAI's shape (https://platform.openai.com/docs/guides/error-codes)."""
    return {
        "error": {
            "message": body.message,
            "type": _OPENAI_TYPES.get(body.code, "api_error"),
            "param": body.field,
            "code": _OPENAI_CODES.get(body.code, body.code.value),
        }
    }


def _note(request: HTTPConnection, code: ErrorCode) -> str:
    """Note for the audit how a request ends; return what its client knows it by."""
    asked: Asked | None = request.scope.get(ASKED)
    if asked is None:
        return request.headers.get(REQUEST_ID, "")[:64] or uuid4().hex
    asked.refused(code, request.scope)
    return asked.request_id


def error_response(request: HTTPConnection, body: ErrorBody, status: int | None = None) -> JSONResponse:
    """Return the response for an error, in the shape that the request's path speaks."""
    path = request.scope["path"]
    request_id = _note(request, body.code)
    if path.startswith("/v1/") and path != "/v1/health":
        content = openai_error(body)
    else:
        found = body.model_dump(mode="json", exclude_none=True)
        content = {"error": {**found, "request_id": request_id}}
    headers = {REQUEST_ID: request_id, "Content-Security-Policy": NO_PAGE_POLICY, **SECURITY_HEADERS}
    if body.code in _COME_BACK:
        headers["Retry-After"] = str(body.retry_after_s or RETRY_AFTER_S)
    if body.code is ErrorCode.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    if body.code is ErrorCode.INTERNAL:
        # The server drops the connection after a crash; a client must not send its next request on it.
        headers["Connection"] = "close"
    return JSONResponse(content, status or HTTP_STATUS[body.code], headers)


async def _on_parley_error(request: Request, error: Exception) -> JSONResponse:
    asked: Asked | None = request.scope.get(ASKED)
    if asked is not None and isinstance(error, ParleyError):
        asked.is_relayed = error.is_relayed
    return error_response(request, described(error))


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    message, field = "The request is not valid.", None
    if isinstance(error, RequestValidationError) and error.errors():
        first = error.errors()[0]
        # The first part is where the value came from: body, query or path.
        field = invalid_fields.place(first, without_first=True)
        is_json_fault = first["type"] == "json_invalid"
        message = (
            "The body is not JSON." if is_json_fault else f"{field or 'body'}: {invalid_fields.saying(first)}"
        )
        field = None if is_json_fault else field
    return error_response(request, ParleyError(ErrorCode.INVALID_REQUEST, message, field=field).body())


async def _on_unwritable(request: Request, _: Exception) -> JSONResponse:
    # JSON may name half of a surrogate pair (RFC 8259, section 8.2): it is read, and cannot be written on.
    fault = ParleyError(ErrorCode.INVALID_REQUEST, "The request holds text that is not Unicode.")
    return error_response(request, fault.body())


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else "Something went wrong."
    code = _STATUS_CODES.get(status, ErrorCode.INVALID_REQUEST)
    return error_response(request, ParleyError(code, f"{detail}.").body(), status)


async def _on_anything(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", exc_info=error, extra={"path": request.scope["path"]})
    return error_response(request, described(error))


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of `app` in its one shape."""
    app.add_exception_handler(ParleyError, _on_parley_error)
    app.add_exception_handler(ValidationError, _on_parley_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(PydanticSerializationError, _on_unwritable)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_anything)
