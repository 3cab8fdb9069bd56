"""The models of an OpenAI-compatible server: OpenAI's own, vLLM, llama.cpp, SGLang, LM Studio and others."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import TokenUsage
from parley_messaging.circuit import Circuit

from parley_llm.language_model import Chunk, FinalChunk, FinishReason, TextChunk

if TYPE_CHECKING:
    from parley_llm.backends.openai_api import CompletionPart, ListedModel, OpenAiApi

PREFIX = "openai/"
OPENAI_HOST = "api.openai.com"
LIST_TIMEOUT_S = 1.5
END_OF_STREAM_S = 1.0
WATCH_INTERVAL_S = 30.0
CHARS_A_TOKEN = 4
CONTINUING_OWNERS = frozenset({"vllm", "sglang", "llamacpp"})
"""What servers call themselves in their list that go on from a prefix when asked to as vLLM is."""
_NOT_CHATTING = ("embed", "whisper", "tts", "dall-e", "moderation", "transcribe", "realtime", "rerank")

Continues = Literal["auto", "true", "false"]

_log = logging.getLogger("parley.llm")


@dataclass(frozen=True, slots=True)
class OpenAiOptions:
    """How a server is used. `continues` says whether it goes on from a prefix; `auto` goes by its kind."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    continues: Continues = "auto"
    context_tokens: int = 8192
    first_token_s: float = 120.0
    gap_s: float = 30.0


class OpenAiCompatibleModel:
    """Every chat model of one server, as `openai/<name>`. Open it by `open_openai`.

    A server that lets its callers wait for the list of models has none for a while.
    """

    def __init__(self, options: OpenAiOptions, listing: Circuit | None = None) -> None:
        self._options = options
        self._listing = listing or Circuit("openai")
        self._is_openai = urlsplit(options.base_url).hostname == OPENAI_HOST
        self._api: OpenAiApi | None = None
        self._is_continuing_server = False
        self._last_reason: str | None = None
        self._listed: tuple[ModelInfo, ...] = ()

    @property
    def pool(self) -> str:
        return "openai"

    @property
    def can_continue(self) -> bool:
        if self._options.continues == "auto":
            return self._is_continuing_server and not self._is_openai
        return self._options.continues == "true"

    def serves(self, model_id: str) -> bool:
        return model_id.startswith(PREFIX) and len(model_id) > len(PREFIX)

    async def models(self) -> tuple[ModelInfo, ...]:
        try:
            with self._listing.passing(LIST_TIMEOUT_S):
                listed = await (await self._opened()).models(timeout_s=LIST_TIMEOUT_S)
        except ParleyError as error:
            self._tell_once(str(error))
            # One slow answer is no reason to refuse the turns of its models.
            return self._listed if error.code is ErrorCode.TIMEOUT else ()
        self._tell_once(None)
        self._is_continuing_server = any(model.owned_by in CONTINUING_OWNERS for model in listed)
        chatting = [model for model in listed if not any(word in model.name for word in _NOT_CHATTING)]
        self._listed = tuple(self._info(model) for model in chatting)
        return self._listed

    async def watch(self) -> None:
        """Know the kind of server before an answer has to be taken over; runs until it is cancelled."""
        while True:
            await self.models()
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        api = await self._opened()
        parts = api.chat(
            self._body(job, written), first_token_s=self._options.first_token_s, gap_s=self._options.gap_s
        )
        async with aclosing(parts):
            async for part in parts:
                if part.text:
                    yield TextChunk(part.text)
                if part.finish_reason is not None:
                    usage = await _usage_at_end(parts, part)
                    yield FinalChunk(usage, _finish_reason(part, job.model))
                    return
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {job.model} broke off its answer")

    async def close(self) -> None:
        """Close the connections to the server."""
        if self._api is not None:
            await self._api.close()

    async def _opened(self) -> "OpenAiApi":
        if self._api is None:
            api_of = await asyncio.to_thread(_import_api)
            self._api = self._api or api_of(self._options.base_url, self._options.api_key)
        return self._api

    def _body(self, job: GenerateJob, written: str) -> dict[str, Any]:
        """Return the request; what is written is the last message, which the model is to go on with."""
        messages = [{"role": message.role, "content": message.content} for message in job.messages]
        body: dict[str, Any] = {
            "model": job.model.removeprefix(PREFIX),
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._sampling(job, written),
        }
        if written:
            messages.append({"role": "assistant", "content": written})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body

    def _sampling(self, job: GenerateJob, written: str) -> dict[str, Any]:
        params = job.params
        most = params.max_tokens
        if most is not None and written:
            most = max(1, most - len(written) // CHARS_A_TOKEN)
        options = {
            "temperature": params.temperature,
            "top_p": params.top_p,
            # OpenAI's newer models refuse the older name, and few other servers know the newer one.
            "max_completion_tokens" if self._is_openai else "max_tokens": most,
            "seed": params.seed,
            "stop": list(params.stop) or None,
        }
        return {name: value for name, value in options.items() if value is not None}

    def _info(self, model: "ListedModel") -> ModelInfo:
        return ModelInfo(
            id=f"{PREFIX}{model.name}",
            pool=self.pool,
            context_tokens=model.context_tokens or self._options.context_tokens,
            owned_by=model.owned_by or "openai",
            created_at_s=model.created_at_s,
        )

    def _tell_once(self, reason: str | None) -> None:
        """Log why nothing is listed, when it is not what was logged last."""
        if reason is not None and reason != self._last_reason:
            _log.warning("models of the OpenAI-compatible server not listed", extra={"reason": reason})
        self._last_reason = reason


@asynccontextmanager
async def open_openai(
    options: OpenAiOptions, listing: Circuit | None = None
) -> AsyncGenerator[OpenAiCompatibleModel]:
    """Open the models of a server, which may be away; close its connections at the end."""
    model = OpenAiCompatibleModel(options, listing)
    try:
        yield model
    finally:
        await model.close()


def _import_api() -> "type[OpenAiApi]":
    # Importing the client takes a moment of computing and memory.
    from parley_llm.backends.openai_api import OpenAiApi  # noqa: PLC0415 - only with a server

    return OpenAiApi


async def _usage_at_end(parts: "AsyncGenerator[CompletionPart, None]", last: "CompletionPart") -> TokenUsage:
    """Read the stream to its end, where the usage is; its connection can then be used again."""
    usage = _usage(last)
    with suppress(ParleyError, TimeoutError):
        async with asyncio.timeout(END_OF_STREAM_S):
            async for part in parts:
                usage = _usage(part) or usage
    return usage or TokenUsage()


def _usage(part: "CompletionPart") -> TokenUsage | None:
    if part.prompt_tokens is None:
        return None
    return TokenUsage(prompt_tokens=part.prompt_tokens, completion_tokens=part.completion_tokens)


def _finish_reason(part: "CompletionPart", model: str) -> FinishReason:
    if part.finish_reason == "error":
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {model} failed")
    return "length" if part.finish_reason == "length" else "stop"
