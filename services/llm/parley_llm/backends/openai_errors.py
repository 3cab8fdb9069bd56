"""What goes wrong with an OpenAI-compatible server, as errors that may be told to people.

The server's own words stay inside: they may hold the key, or what others wrote.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import aiohttp
from parley_contracts.errors import ErrorCode, ParleyError
from pydantic_core import from_json

from parley_llm.backends.server_sent_events import EventTooLongError

_QUOTA_IS_USED_UP = (429, "insufficient_quota")
_CONTEXT_IS_TOO_LONG = (400, "context_length_exceeded")
_REFUSED_KEY = (
    ErrorCode.UPSTREAM_FAILED,
    "the model server refuses the API key that is set",
    False,
)
_REFUSED_REQUEST = (ErrorCode.UPSTREAM_FAILED, "the model server refused the request for {model}", False)
_REFUSALS: Mapping[int, tuple[ErrorCode, str, bool]] = {
    400: _REFUSED_REQUEST,
    401: _REFUSED_KEY,
    403: _REFUSED_KEY,
    404: (ErrorCode.MODEL_NOT_FOUND, "the model server has no model {model}", False),
    413: _REFUSED_REQUEST,
    422: _REFUSED_REQUEST,
    429: (ErrorCode.OVERLOADED, "the model server takes no more for {model} now", True),
    503: (ErrorCode.UNAVAILABLE, "the model server is not ready", True),
}
_CODED_REFUSALS: Mapping[tuple[int, str | None], tuple[ErrorCode, str, bool]] = {
    _QUOTA_IS_USED_UP: (ErrorCode.UPSTREAM_FAILED, "the quota at the model server is used up", False),
    _CONTEXT_IS_TOO_LONG: (
        ErrorCode.UPSTREAM_FAILED,
        "the conversation is too long for the model {model}",
        False,
    ),
}
_FAILED = (ErrorCode.UPSTREAM_FAILED, "the model {model} failed", True)


@contextmanager
def translated(model: str) -> Generator[None]:
    """Raise what reading from a server raises as ParleyError."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
        raise ParleyError(ErrorCode.UNAVAILABLE, "the model server cannot be reached") from error
    except TimeoutError as error:
        raise ParleyError(ErrorCode.TIMEOUT, f"the model {model} did not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the connection to the model {model} broke") from error
    except (ValueError, TypeError, LookupError, AttributeError, EventTooLongError) as error:
        # The answer is read without a schema, so what is not its JSON shows as any of these.
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} sent what cannot be read") from error


def refused(status: int, content: bytes, model: str) -> ParleyError:
    """Return what an answer that is no 200 means."""
    known = _CODED_REFUSALS.get((status, _error_code(content))) or _REFUSALS.get(status) or _FAILED
    code, message, is_retryable = known
    field = "model" if code is ErrorCode.MODEL_NOT_FOUND else None
    return ParleyError(code, message.format(model=model), retryable=is_retryable, field=field)


def _error_code(content: bytes) -> str | None:
    """Return the code that an error in OpenAI's shape carries."""
    try:
        return str(cast(Mapping[str, Any], from_json(content)["error"])["code"])
    except (ValueError, TypeError, LookupError):
        return None
