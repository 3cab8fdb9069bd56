"""The HTTP API that OpenAI's and compatible servers share, with its errors as ours.

Spoken over aiohttp alone: the `openai` package builds a model of every chunk, and httpx costs several times
the computing. Importing it takes a moment, so `openai_compatible.py` does it only when a server is set.
Source of the API: https://platform.openai.com/docs/api-reference/chat
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from parley_contracts.errors import ErrorCode, ParleyError
from pydantic_core import from_json, to_json

from parley_llm.backends.loopback import is_loopback
from parley_llm.backends.openai_errors import refused, translated
from parley_llm.backends.server_sent_events import EventReader

CONNECT_TIMEOUT_S = 2.0
KEEP_OPEN_S = 4.0
"""Below what servers commonly allow: a request must not meet a connection that is being closed."""

HTTP_OK = 200
ERROR_BODY_S = 1.0
ERROR_BODY_BYTES = 65_536
_NO_PART = frozenset({b"", b"[DONE]"})
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}

Json = Mapping[str, Any]

_NOTHING: Json = {}
_NO_CHOICES: tuple[Json, ...] = (_NOTHING,)


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that a server offers; None where it does not say how much context the model takes."""

    name: str
    owned_by: str
    created_at_s: int
    context_tokens: int | None


@dataclass(frozen=True, slots=True)
class CompletionPart:
    """What one event of an answer adds. `is_alive` is set when the model wrote, shown or not."""

    text: str = ""
    is_alive: bool = False
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int = 0


class OpenAiApi:
    """The calls that answers need. Made within a running loop.

    Raises ParleyError only, without the key or the server's own words.
    """

    def __init__(self, base_url: str, api_key: str | None) -> None:
        # Every open answer holds a connection, so the client's own cap of 100 must not become the service's;
        # a proxy of the environment cannot reach a loopback address.
        self._url = base_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            headers=_HEADERS | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_OPEN_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=not is_loopback(base_url),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def models(self, *, timeout_s: float) -> tuple[ListedModel, ...]:
        """Return the models that the server lists, in its order."""
        with translated("list"):
            async with (
                asyncio.timeout(timeout_s),
                # A redirect could lead the key elsewhere.
                self._session.get(f"{self._url}/models", allow_redirects=False) as response,
            ):
                content = await response.read()
            if response.status != HTTP_OK:
                raise refused(response.status, content, "list")
            return tuple(_listed(entry) for entry in from_json(content)["data"])

    async def chat(
        self, body: Json, *, first_token_s: float, gap_s: float
    ) -> AsyncGenerator[CompletionPart, None]:
        """Yield the parts of a streamed answer; closing this closes the connection at once.

        The first clock runs until the model writes, so that a server's signs of life do not reset it.
        """
        model = str(body["model"])
        clock = asyncio.get_running_loop()
        until_s = clock.time() + first_token_s
        with translated(model):
            async with asyncio.timeout_at(until_s):
                response = await self._session.post(
                    f"{self._url}/chat/completions", data=to_json(body), allow_redirects=False
                )
        try:
            if response.status != HTTP_OK:
                raise refused(response.status, await _error_body(response), model)
            reader = EventReader()
            while data := await _next_data(response.content, model, until_s):
                for part in _parts(reader, data, model):
                    yield part
                    until_s = clock.time() + gap_s if part.is_alive else until_s
        finally:
            # This closes the connection unless the stream was read to its end.
            response.close()


async def _next_data(content: aiohttp.StreamReader, model: str, until_s: float) -> bytes:
    """Return what has come, or nothing at the end of the stream."""
    with translated(model):
        async with asyncio.timeout_at(until_s):
            return await content.readany()


def _parts(reader: EventReader, data: bytes, model: str) -> Iterator[CompletionPart]:
    """Yield the parts that are whole now, those before a fault as well."""
    with translated(model):
        for event in reader.feed(data):
            if event not in _NO_PART:
                yield _part(event, model)


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    """Return what a refusal says, as far as it comes soon and is short."""
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            return await response.content.read(ERROR_BODY_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        return b""


def _listed(entry: Json) -> ListedModel:
    # vLLM and SGLang tell `max_model_len`, llama.cpp its `meta`, several gateways `context_length`.
    meta: Json = entry.get("meta") or _NOTHING
    lengths = (
        entry.get("max_model_len"),
        meta.get("n_ctx"),
        entry.get("context_length"),
        # What the model was trained with; the server may run it with less.
        meta.get("n_ctx_train"),
    )
    created = entry.get("created")
    return ListedModel(
        name=str(entry["id"]),
        owned_by=str(entry.get("owned_by") or ""),
        created_at_s=created if isinstance(created, int) else 0,
        context_tokens=next((n for n in lengths if isinstance(n, int) and n > 0), None),
    )


def _part(event: bytes, model: str) -> CompletionPart:
    chunk: dict[str, Any] = from_json(event)
    if chunk.get("error"):
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} failed")
    usage: Json = chunk.get("usage") or _NOTHING
    choice: Json = (chunk.get("choices") or _NO_CHOICES)[0]
    delta: Json = choice.get("delta") or _NOTHING
    text = delta.get("content") or ""
    if not isinstance(text, str):
        raise TypeError("content is not text")
    return CompletionPart(
        text=text,
        is_alive=bool(text or delta.get("reasoning_content") or delta.get("reasoning")),
        finish_reason=choice.get("finish_reason"),
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens") or 0,
    )
