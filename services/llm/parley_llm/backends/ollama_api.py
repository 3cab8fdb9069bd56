"""Ollama's HTTP API, with its errors as ours.

Spoken over aiohttp: through httpx a streamed answer costs twice the time to its first token and several times
the computing. Importing it takes a moment and memory, so `ollama.py` does it only once a server answers.
Source of the API: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
from parley_contracts.errors import ErrorCode, ParleyError
from pydantic_core import from_json, to_json

from parley_llm.backends.loopback import is_loopback

CONNECT_TIMEOUT_S = 2.0
KEEP_OPEN_S = 4.0
"""Below what servers commonly allow: a request must not meet a connection that is being closed."""

HTTP_OK = 200
HTTP_NOT_FOUND = 404
HTTP_BAD_REQUEST = 400

Json = Mapping[str, Any]

_NOTHING: Json = {}
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that a server holds; `digest` changes when the model behind the name does."""

    name: str
    digest: str
    modified_at_s: int


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """What `show` tells of a model; None where the server does not say."""

    context_tokens: int | None
    can_chat: bool


@dataclass(frozen=True, slots=True)
class ChatPart:
    """One line of a streamed answer. Counts are set on the last one."""

    text: str
    is_done: bool = False
    done_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class OllamaApi:
    """The calls of Ollama's API that answers need. Made within a running loop. Raises ParleyError only."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        # Every open answer holds a connection, so the client's own cap of 100 must not become the service's;
        # a proxy of the environment cannot reach a loopback address.
        self._url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            headers=_HEADERS | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_OPEN_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=not is_loopback(url),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def tags(self, *, timeout_s: float) -> tuple[ListedModel, ...]:
        """Return the models the server holds, the most recently changed first."""
        with translated("list"):
            listed = await self._call("GET", "tags", None, timeout_s)
            return tuple(_listed(entry) for entry in listed["models"] or () if entry.get("model"))

    async def show(self, model: str, *, timeout_s: float) -> ModelTraits:
        """Return what the server tells of a model."""
        with translated(model):
            shown = await self._call("POST", "show", {"model": model}, timeout_s)
            lengths = [
                value
                for key, value in (shown.get("model_info") or _NOTHING).items()
                if key.endswith(".context_length") and isinstance(value, int)
            ]
            capabilities = shown.get("capabilities")
            can_chat = capabilities is None or "completion" in capabilities
            return ModelTraits(context_tokens=lengths[0] if lengths else None, can_chat=can_chat)

    async def load(self, model: str, *, keep_alive: str, options: Json, timeout_s: float) -> None:
        """Have the server load a model and keep it; returns when it is loaded."""
        body = {"model": model, "stream": False, "keep_alive": keep_alive, "options": options}
        with translated(model):
            await self._call("POST", "generate", body, timeout_s)

    async def _call(self, method: str, name: str, body: Json | None, timeout_s: float) -> dict[str, Any]:
        data = None if body is None else to_json(body)
        async with (
            asyncio.timeout(timeout_s),
            self._session.request(method, self._at(name), data=data) as got,
        ):
            _require_success(got.status, str(body["model"]) if body else name)
            return from_json(await got.read())

    def _at(self, name: str) -> str:
        return f"{self._url}/api/{name}"

    async def chat(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        *,
        keep_alive: str,
        options: Json,
        first_token_s: float,
        gap_s: float,
    ) -> AsyncGenerator[ChatPart, None]:
        """Yield the parts of an answer as they come; closing this closes the connection at once."""
        body = {
            "model": model,
            "messages": messages,
            "stream": True,
            "keep_alive": keep_alive,
            "options": options,
        }
        clock = asyncio.get_running_loop()
        until_s = clock.time() + first_token_s
        with translated(model):
            async with asyncio.timeout_at(until_s):
                response = await self._session.post(self._at("chat"), data=to_json(body))
        try:
            _require_success(response.status, model)
            while (part := await _next_part(response.content, model, until_s)) is not None:
                until_s = clock.time() + gap_s
                yield part
        finally:
            # This closes the connection unless the stream was read to its end.
            response.close()


async def _next_part(lines: aiohttp.StreamReader, model: str, until_s: float) -> ChatPart | None:
    """Return the next part, or None at the end of the stream."""
    with translated(model):
        async with asyncio.timeout_at(until_s):
            line = await lines.readline()
        return _part(line, model) if line else None


def _part(line: bytes, model: str) -> ChatPart:
    part: dict[str, Any] = from_json(line)
    if part.get("error"):
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} failed")
    text = (part.get("message") or _NOTHING).get("content") or ""
    if not isinstance(text, str):
        raise TypeError("content is not text")
    return ChatPart(
        text=text,
        is_done=bool(part.get("done")),
        done_reason=part.get("done_reason"),
        prompt_tokens=part.get("prompt_eval_count") or 0,
        completion_tokens=part.get("eval_count") or 0,
    )


def _listed(entry: Json) -> ListedModel:
    modified_at = entry.get("modified_at")
    return ListedModel(
        name=str(entry["model"]),
        digest=str(entry.get("digest") or ""),
        modified_at_s=int(datetime.fromisoformat(modified_at).timestamp()) if modified_at else 0,
    )


@contextmanager
def translated(model: str) -> Generator[None]:
    """Raise what the client raises as what may be told to people; the server's own words stay inside."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
        raise ParleyError(ErrorCode.UNAVAILABLE, "Ollama cannot be reached") from error
    except TimeoutError as error:
        raise ParleyError(ErrorCode.TIMEOUT, f"the model {model} did not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the connection to the model {model} broke") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # The answer is read without a schema, so what is not its JSON shows as any of these.
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} sent what cannot be read") from error


def _require_success(status: int, model: str) -> None:
    """Raise what an answer that is no 200 means; the server's own words stay inside."""
    if status == HTTP_OK:
        return
    if status == HTTP_NOT_FOUND:
        raise ParleyError(ErrorCode.MODEL_NOT_FOUND, f"Ollama has no model {model}", field="model")
    if status == HTTP_BAD_REQUEST:
        raise ParleyError(
            ErrorCode.UPSTREAM_FAILED, f"Ollama refused the request for {model}", retryable=False
        )
    raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} failed")
