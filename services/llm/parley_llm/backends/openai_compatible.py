"""The wire format of OpenAI-compatible servers: OpenAI's own, vLLM, llama.cpp, SGLang, LM Studio and others.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from parley_contracts.llm import GenerateJob
from parley_messaging.circuit import Circuits

from parley_llm.backends.chat_request import chat_messages, named_tool, sampling, set_only, tool_specs
from parley_llm.backends.openai_answers import CompletionDecoder, openai_refusal
from parley_llm.backends.openai_capabilities import told_capabilities
from parley_llm.backends.openai_prices import told_price
from parley_llm.backends.served_models import ServedModels, open_models_of
from parley_llm.backends.server_errors import Refusal
from parley_llm.backends.server_options import ServerOptions
from parley_llm.backends.wire_format import ChatRequest, ListedModel

if TYPE_CHECKING:
    from parley_llm.backends.server_client import ServerClient

OPENAI_HOST = "api.openai.com"
LIST_TIMEOUT_S = 1.5
CONTINUING_OWNERS = frozenset({"vllm", "sglang", "llamacpp"})
"""What servers call themselves in their list that go on from a prefix when asked to as vLLM is."""
_NOT_CHATTING = ("embed", "whisper", "tts", "dall-e", "moderation", "transcribe", "realtime", "rerank")

Continues = Literal["auto", "true", "false"]
Json = Mapping[str, Any]

_NOTHING: Json = {}


@dataclass(frozen=True, kw_only=True)
class OpenAiOptions(ServerOptions):
    """How a server is used. `continues` says whether it goes on from a prefix; `auto` goes by its kind.

    `context_tokens` holds for models that do not tell theirs.
    """

    continues: Continues = "auto"
    watch_interval_s: float = 30.0


class OpenAiFormat:
    """How such a server lists and asks its models."""

    def __init__(self, options: OpenAiOptions) -> None:
        self._options = options
        self._is_openai = urlsplit(options.url).hostname == OPENAI_HOST
        self._is_continuing_server = False

    @property
    def pool(self) -> str:
        return "openai"

    @property
    def can_continue(self) -> bool:
        if self._options.continues == "auto":
            return self._is_continuing_server and not self._is_openai
        return self._options.continues == "true"

    async def listed(self, server: "ServerClient") -> tuple[ListedModel, ...]:
        entries: list[Json] = (await server.call("GET", "models", timeout_s=LIST_TIMEOUT_S))["data"]
        self._is_continuing_server = any(entry.get("owned_by") in CONTINUING_OWNERS for entry in entries)
        models = [self._listed(entry) for entry in entries]
        return tuple(model for model in models if not any(word in model.name for word in _NOT_CHATTING))

    async def request(
        self, server: "ServerClient", model: str, job: GenerateJob, written: str
    ) -> ChatRequest:
        # OpenAI's newer models refuse the older name, and few other servers know the newer one.
        limit_name = "max_completion_tokens" if self._is_openai else "max_tokens"
        body: dict[str, Any] = {
            "model": model,
            "messages": chat_messages(job, written),
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling(job, written, limit_name=limit_name),
            **_asked_for(job),
        }
        if written:
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return ChatRequest("chat/completions", body)

    async def prepare(self, server: "ServerClient", model: str) -> None:
        """Do nothing: such servers have their models loaded, or load them as they like."""

    def decoder(self, model: str) -> CompletionDecoder:
        return CompletionDecoder(model)

    def refusal(self, status: int, content: bytes) -> Refusal:
        return openai_refusal(status, content)

    def _listed(self, entry: Json) -> ListedModel:
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
        told = next((n for n in lengths if isinstance(n, int) and n > 0), None)
        return ListedModel(
            name=str(entry["id"]),
            context_tokens=told or self._options.context_tokens,
            owned_by=str(entry.get("owned_by") or "openai"),
            created_at_s=created if isinstance(created, int) else 0,
            capabilities=told_capabilities(entry),
            price=told_price(entry),
        )


def _asked_for(job: GenerateJob) -> dict[str, Any]:
    """Return what is asked for beyond text: tools, a shape, reasoning, the likelihood of tokens."""
    params = job.params
    shape = params.response_format
    asked: dict[str, Any] = {
        "response_format": None if shape is None else shape.model_dump(mode="json", exclude_none=True),
        "reasoning_effort": params.reasoning_effort,
        "logprobs": params.logprobs,
        "top_logprobs": params.top_logprobs,
    }
    if job.tools:
        name = named_tool(job)
        choice = params.tool_choice if name is None else {"type": "function", "function": {"name": name}}
        asked |= {"tools": tool_specs(job), "tool_choice": choice}
        asked |= {"parallel_tool_calls": params.parallel_tool_calls}
    return set_only(asked)


def open_openai(
    options: OpenAiOptions, circuits: Circuits | None = None
) -> AbstractAsyncContextManager[ServedModels]:
    """Open the models of an OpenAI-compatible server."""
    return open_models_of(OpenAiFormat(options), options, circuits)
