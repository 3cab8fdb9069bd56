"""What goes wrong with a server of models, as errors that may be told to people.

The server's own words stay inside: they may hold the key, or what others wrote.
"""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

from parley_contracts.errors import ErrorCode, ParleyError

from parley_llm.backends.byte_records import RecordTooLongError

MOST_RETRY_AFTER_S = 86_400
_SECONDS = re.compile(r"\d{1,6}(\.\d{1,6})?")


class ServerFault(ParleyError):
    """What a server did that was there: the same request may be made again at once, if it is retryable."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer that is no success means. The message may name `{model}`."""

    code: ErrorCode
    message: str
    is_retryable: bool

    def error(self, model: str, retry_after_s: int | None = None) -> ServerFault:
        """Return it as the error of a call for one model."""
        return ServerFault(
            self.code,
            self.message.format(model=model),
            retryable=self.is_retryable,
            field="model" if self.code is ErrorCode.MODEL_NOT_FOUND else None,
            retry_after_s=retry_after_s if self.is_retryable else None,
        )


FAILED = Refusal(ErrorCode.UPSTREAM_FAILED, "the model {model} failed", is_retryable=True)
_REFUSED_REQUEST = Refusal(
    ErrorCode.UPSTREAM_FAILED, "the model server refused the request for {model}", is_retryable=False
)
_REFUSED_KEY = Refusal(
    ErrorCode.UPSTREAM_FAILED, "the model server refuses the API key that is set", is_retryable=False
)
_NO_MODEL = Refusal(ErrorCode.MODEL_NOT_FOUND, "the model server has no model {model}", is_retryable=False)
_TOO_MANY = Refusal(ErrorCode.OVERLOADED, "the model server takes no more for {model} now", is_retryable=True)
TOO_LONG = Refusal(
    ErrorCode.TOO_LARGE, "the conversation is too long for the model {model}", is_retryable=False
)
NO_QUOTA = Refusal(ErrorCode.UPSTREAM_FAILED, "the quota at the model server is used up", is_retryable=False)
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
    # What Anthropic says when all of its callers together ask for too much.
    529: _TOO_MANY,
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
    return ServerFault(code, f"the model {model} broke off its answer")


def retry_after_s(told: str | None) -> int | None:
    """Return after how many seconds a server wants to be asked again, in whole ones, from its header.

    The header's other form is a date, which no server of models sends: it counts as none.
    """
    said = (told or "").strip()
    return max(1, min(MOST_RETRY_AFTER_S, ceil(float(said)))) if _SECONDS.fullmatch(said) else None


@contextmanager
def readable(model: str) -> Generator[None]:
    """Raise what reading an answer without a schema raises, where it is not what was expected."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecordTooLongError) as error:
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} sent what cannot be read") from error
