"""One base error, its codes as data, and the body every error takes on the wire."""

from enum import StrEnum

from pydantic import Field

from parley_contracts.model import WireModel


class ErrorCode(StrEnum):
    """What went wrong, for programs."""

    INVALID_REQUEST = "invalid_request"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED_TYPE = "unsupported_type"
    UNREADABLE_DOCUMENT = "unreadable_document"
    MODEL_NOT_FOUND = "model_not_found"
    REFUSED_ADDRESS = "refused_address"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    UPSTREAM_FAILED = "upstream_failed"
    INTERNAL = "internal"


HTTP_STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_TYPE: 415,
    ErrorCode.UNREADABLE_DOCUMENT: 422,
    ErrorCode.MODEL_NOT_FOUND: 404,
    ErrorCode.REFUSED_ADDRESS: 403,
    ErrorCode.OVERLOADED: 429,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.QUOTA_EXCEEDED: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.TIMEOUT: 504,
    ErrorCode.CANCELLED: 409,
    ErrorCode.UPSTREAM_FAILED: 502,
    ErrorCode.INTERNAL: 500,
}

RETRYABLE = frozenset(
    {
        ErrorCode.OVERLOADED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.UNAVAILABLE,
        ErrorCode.TIMEOUT,
        ErrorCode.UPSTREAM_FAILED,
        ErrorCode.INTERNAL,
    }
)


class ErrorBody(WireModel):
    """An error as it travels: on the bus, in `error` frames and in HTTP bodies."""

    code: ErrorCode
    message: str = Field(description="For people; names the field at fault and holds no internals.")
    retryable: bool
    field: str | None = Field(default=None, description="The input field at fault, when there is one.")
    retry_after_s: int | None = Field(
        default=None, ge=1, description="When to ask again, where that can be told; an estimate."
    )


class ParleyError(Exception):
    """The base of every error that may be told to a client.

    Attributes:
        code: What went wrong, for programs.
        message: What went wrong, for people; safe to show.
        retryable: Whether the same request may succeed later.
        field: The input field at fault, or None.
        retry_after_s: When to ask again, where that can be told; whole seconds from 1 on.
        is_relayed: Somebody else has raised it: it came as a reply.
    """

    is_relayed = False

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retryable: bool | None = None,
        field: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = code in RETRYABLE if retryable is None else retryable
        self.field = field
        self.retry_after_s = retry_after_s

    def body(self) -> ErrorBody:
        """Return the error as it travels."""
        return ErrorBody(
            code=self.code,
            message=self.message,
            retryable=self.retryable,
            field=self.field,
            retry_after_s=self.retry_after_s,
        )

    @classmethod
    def from_body(cls, body: ErrorBody) -> "ParleyError":
        """Return the error that a body describes."""
        found = cls(
            body.code,
            body.message,
            retryable=body.retryable,
            field=body.field,
            retry_after_s=body.retry_after_s,
        )
        found.is_relayed = True
        return found
