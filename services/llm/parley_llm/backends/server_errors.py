"""What goes wrong with a server of models, as errors that may be told to people.

The server's own words stay inside: they may hold the key, or what others wrote.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from parley_contracts.errors import ErrorCode, ParleyError

from parley_llm.backends.byte_records import RecordTooLongError


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer that is no success means. The message may name `{model}`."""

    code: ErrorCode
    message: str
    is_retryable: bool

    def error(self, model: str) -> ParleyError:
        """Return it as the error of a call for one model."""
        field = "model" if self.code is ErrorCode.MODEL_NOT_FOUND else None
        message = self.message.format(model=model)
        return ParleyError(self.code, message, retryable=self.is_retryable, field=field)


FAILED = Refusal(ErrorCode.UPSTREAM_FAILED, "the model {model} failed", is_retryable=True)
_REFUSED_REQUEST = Refusal(
    ErrorCode.UPSTREAM_FAILED, "the model server refused the request for {model}", is_retryable=False
)
_REFUSED_KEY = Refusal(
    ErrorCode.UPSTREAM_FAILED, "the model server refuses the API key that is set", is_retryable=False
)
_NO_MODEL = Refusal(ErrorCode.MODEL_NOT_FOUND, "the model server has no model {model}", is_retryable=False)
_TOO_MANY = Refusal(ErrorCode.OVERLOADED, "the model server takes no more for {model} now", is_retryable=True)
_NOT_READY = Refusal(ErrorCode.UNAVAILABLE, "the model server is not ready", is_retryable=True)
_BY_STATUS: Mapping[int, Refusal] = {
    400: _REFUSED_REQUEST,
    401: _REFUSED_KEY,
    403: _REFUSED_KEY,
    404: _NO_MODEL,
    413: _REFUSED_REQUEST,
    422: _REFUSED_REQUEST,
    429: _TOO_MANY,
    # What a proxy says of a server behind it that is away.
    502: _NOT_READY,
    503: _NOT_READY,
    504: _NOT_READY,
}


def refusal_of(status: int | None) -> Refusal:
    """Return what a status means, whoever sends it."""
    return FAILED if status is None else _BY_STATUS.get(status, FAILED)


def away() -> ParleyError:
    """Return the error of a server to which no connection comes about."""
    return ParleyError(ErrorCode.UNAVAILABLE, "the model server cannot be reached")


def late(model: str) -> ParleyError:
    """Return the error of a model that is silent for too long."""
    return ParleyError(ErrorCode.TIMEOUT, f"the model {model} did not answer in time")


def broken_off(model: str, *, has_begun: bool) -> ParleyError:
    """Return the error of an answer whose end does not come; one that has not begun had no server."""
    code = ErrorCode.UPSTREAM_FAILED if has_begun else ErrorCode.UNAVAILABLE
    return ParleyError(code, f"the model {model} broke off its answer")


@contextmanager
def readable(model: str) -> Generator[None]:
    """Raise what reading an answer without a schema raises, where it is not what was expected."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecordTooLongError) as error:
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} sent what cannot be read") from error
