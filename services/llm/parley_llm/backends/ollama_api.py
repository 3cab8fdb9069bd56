# pyright: reportUnknownMemberType=false
# reason: the package leaves the type of its `tools` argument open, which makes `chat` partly unknown.
"""Ollama's HTTP API through its own client, with its errors as ours.

Importing this takes a second of computing, so `ollama.py` does it only once a server answers.
Source of the API: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import asyncio
import ipaddress
import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import ollama
from parley_contracts.errors import ErrorCode, ParleyError

CONNECT_TIMEOUT_S = 2.0
HTTP_NOT_FOUND = 404
HTTP_BAD_REQUEST = 400


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
    """The calls of Ollama's API that answers need. Raises ParleyError only."""

    def __init__(self, host: str) -> None:
        # Every open answer holds a connection, so the client's own cap of 100 must not become the service's;
        # a proxy of the environment cannot reach a loopback address.
        self._client = ollama.AsyncClient(
            host,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=not _is_loopback(host),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def tags(self, *, timeout_s: float) -> tuple[ListedModel, ...]:
        """Return the models the server holds, the most recently changed first."""
        with translated("list"):
            async with asyncio.timeout(timeout_s):
                listed = await self._client.list()
        return tuple(
            ListedModel(
                name=model.model,
                digest=model.digest or "",
                modified_at_s=int(model.modified_at.timestamp()) if model.modified_at else 0,
            )
            for model in listed.models
            if model.model
        )

    async def show(self, model: str, *, timeout_s: float) -> ModelTraits:
        """Return what the server tells of a model."""
        with translated(model):
            async with asyncio.timeout(timeout_s):
                shown = await self._client.show(model)
        lengths = [
            value
            for key, value in (shown.modelinfo or {}).items()
            if key.endswith(".context_length") and isinstance(value, int)
        ]
        can_chat = shown.capabilities is None or "completion" in shown.capabilities
        return ModelTraits(context_tokens=lengths[0] if lengths else None, can_chat=can_chat)

    async def load(
        self, model: str, *, keep_alive: str, options: Mapping[str, Any], timeout_s: float
    ) -> None:
        """Have the server load a model and keep it; returns when it is loaded."""
        with translated(model):
            async with asyncio.timeout(timeout_s):
                await self._client.generate(model, keep_alive=keep_alive, options=options)

    async def chat(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        *,
        keep_alive: str,
        options: Mapping[str, Any],
        first_token_s: float,
        gap_s: float,
    ) -> AsyncGenerator[ChatPart, None]:
        """Yield the parts of an answer as they come; closing this closes the connection at once."""
        with translated(model):
            stream = await self._client.chat(
                model, messages, stream=True, keep_alive=keep_alive, options=options
            )
        # The package returns an async generator and declares an iterator, which has no aclose.
        upstream = cast(AsyncGenerator[ollama.ChatResponse, None], stream)
        async with aclosing(upstream):
            wait_s = first_token_s
            while (part := await _next_part(upstream, model, wait_s)) is not None:
                wait_s = gap_s
                yield _chat_part(part)


async def _next_part(
    upstream: AsyncIterator[ollama.ChatResponse], model: str, wait_s: float
) -> ollama.ChatResponse | None:
    """Return the next part, or None at the end of the stream."""
    try:
        with translated(model):
            async with asyncio.timeout(wait_s):
                return await anext(upstream)
    except StopAsyncIteration:
        return None


def _chat_part(part: ollama.ChatResponse) -> ChatPart:
    return ChatPart(
        text=part.message.content or "",
        is_done=bool(part.done),
        done_reason=part.done_reason,
        prompt_tokens=part.prompt_eval_count or 0,
        completion_tokens=part.eval_count or 0,
    )


@contextmanager
def translated(model: str) -> Generator[None]:
    """Raise what the client raises as what may be told to people; the server's own words stay inside."""
    try:
        yield
    except ollama.ResponseError as error:
        raise _of_response(error, model) from error
    except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ParleyError(ErrorCode.UNAVAILABLE, "Ollama cannot be reached") from error
    except TimeoutError as error:
        raise ParleyError(ErrorCode.TIMEOUT, f"the model {model} did not answer in time") from error
    except httpx.HTTPError as error:
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the connection to the model {model} broke") from error
    except (json.JSONDecodeError, ValueError, TypeError, AttributeError) as error:
        # The client parses without checking, so what is not its JSON shows as any of these.
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} sent what cannot be read") from error


def _of_response(error: ollama.ResponseError, model: str) -> ParleyError:
    if error.status_code == HTTP_NOT_FOUND:
        return ParleyError(ErrorCode.MODEL_NOT_FOUND, f"Ollama has no model {model}", field="model")
    if error.status_code == HTTP_BAD_REQUEST:
        return ParleyError(
            ErrorCode.UPSTREAM_FAILED, f"Ollama refused the request for {model}", retryable=False
        )
    return ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} failed")


def _is_loopback(host: str) -> bool:
    name = urlsplit(host if "://" in host else f"http://{host}").hostname or "localhost"
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
