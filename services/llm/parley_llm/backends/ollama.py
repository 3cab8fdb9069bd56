"""The wire format of an Ollama server.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from parley_contracts.errors import ParleyError
from parley_contracts.llm import Capability, GenerateJob
from parley_messaging.circuit import Circuits

from parley_llm.backends.chat_request import sampling
from parley_llm.backends.ollama_answers import OllamaDecoder
from parley_llm.backends.ollama_request import asked_for, ollama_messages
from parley_llm.backends.served_models import ServedModels, open_models_of
from parley_llm.backends.server_errors import Refusal, readable, refusal_of
from parley_llm.backends.server_options import ServerOptions
from parley_llm.backends.wire_format import ChatRequest, ListedModel

if TYPE_CHECKING:
    from parley_llm.backends.server_client import ServerClient

LIST_TIMEOUT_S = 1.0
TRAITS_TIMEOUT_S = 1.0

Json = Mapping[str, Any]

_NOTHING: Json = {}
_CAPABILITIES: Mapping[str, Capability] = {"tools": "tools", "vision": "vision", "thinking": "reasoning"}
_log = logging.getLogger("parley.llm")


@dataclass(frozen=True, kw_only=True)
class OllamaOptions(ServerOptions):
    """How Ollama is used. `context_tokens` is asked for at most: more takes more of its memory."""

    default_model: str | None = "llama3.2:1b"
    keep_alive: str = "30m"
    is_assumed: bool = True


@dataclass(frozen=True, slots=True)
class _Traits:
    """What `show` tells of a model; None where the server does not say."""

    context_tokens: int | None
    can_chat: bool
    can_think: bool
    capabilities: tuple[Capability, ...] = ()


class OllamaFormat:
    """How Ollama lists, loads and asks its models. What is known of a model is asked once a version."""

    def __init__(self, options: OllamaOptions) -> None:
        self._options = options
        self._traits: dict[tuple[str, str], _Traits] = {}
        self._context_tokens: dict[str, int] = {}
        self._thinking = set[str]()
        self._asking = asyncio.Lock()

    @property
    def pool(self) -> str:
        return "ollama"

    @property
    def can_continue(self) -> bool:
        return True

    async def listed(self, server: "ServerClient") -> tuple[ListedModel, ...]:
        tags = await server.call("GET", "api/tags", timeout_s=LIST_TIMEOUT_S)
        entries: list[Json] = [entry for entry in tags["models"] or () if entry.get("model")]
        traits = await asyncio.gather(*(self._known_traits(server, entry) for entry in entries))
        return tuple(
            self._listed(entry, known)
            for entry, known in zip(entries, traits, strict=True)
            if known is None or known.can_chat
        )

    async def request(
        self, server: "ServerClient", model: str, job: GenerateJob, written: str
    ) -> ChatRequest:
        context_tokens = await self._context_of(server, model)
        body = {
            "model": model,
            "messages": ollama_messages(job, written),
            "stream": True,
            "keep_alive": self._options.keep_alive,
            "options": sampling(job, written, limit_name="num_predict") | {"num_ctx": context_tokens},
            **asked_for(job, can_think=model in self._thinking),
        }
        return ChatRequest("api/chat", body)

    async def prepare(self, server: "ServerClient", model: str) -> None:
        """Load a model with the context that answers will use; a different one would load it again."""
        body = {
            "model": model,
            "stream": False,
            "keep_alive": self._options.keep_alive,
            "options": {"num_ctx": await self._context_of(server, model)},
        }
        await server.call("POST", "api/generate", body, model=model, timeout_s=self._options.first_token_s)
        _log.info("model loaded", extra={"model": model})

    def decoder(self, model: str) -> "OllamaDecoder":
        return OllamaDecoder(model)

    def refusal(self, status: int, content: bytes) -> Refusal:
        del content  # It holds words for people only.
        return refusal_of(status)

    async def _known_traits(self, server: "ServerClient", entry: Json) -> _Traits | None:
        """Return what is known of a model; None when it cannot be told now."""
        name = str(entry["model"])
        key = (name, str(entry.get("digest")))
        if key not in self._traits:
            with suppress(ParleyError):
                self._traits[key] = await self._show(server, name, TRAITS_TIMEOUT_S)
        return self._traits.get(key)

    async def _context_of(self, server: "ServerClient", model: str) -> int:
        """Return the context to ask for; the model's own limit is looked up on its first use."""
        if model not in self._context_tokens:
            async with self._asking:
                if model not in self._context_tokens:
                    await self._show(server, model, self._options.first_token_s)
        return self._context_tokens[model]

    async def _show(self, server: "ServerClient", model: str, timeout_s: float) -> _Traits:
        with readable(model):
            shown = await server.call("POST", "api/show", {"model": model}, model=model, timeout_s=timeout_s)
            traits = _traits(shown)
        most = self._options.context_tokens
        self._context_tokens[model] = min(traits.context_tokens or most, most)
        (self._thinking.add if traits.can_think else self._thinking.discard)(model)
        return traits

    def _listed(self, entry: Json, known: _Traits | None) -> ListedModel:
        name = str(entry["model"])
        modified_at = entry.get("modified_at")
        return ListedModel(
            name=name,
            context_tokens=self._context_tokens.get(name, self._options.context_tokens),
            owned_by="ollama",
            created_at_s=int(datetime.fromisoformat(modified_at).timestamp()) if modified_at else 0,
            capabilities=() if known is None else known.capabilities,
            version=str(entry.get("digest") or ""),
        )


def open_ollama(
    options: OllamaOptions, circuits: Circuits | None = None
) -> AbstractAsyncContextManager[ServedModels]:
    """Open the models of an Ollama server, found by themselves whenever it answers."""
    return open_models_of(OllamaFormat(options), options, circuits)


def _traits(shown: Json) -> _Traits:
    lengths = [
        value
        for key, value in (shown.get("model_info") or _NOTHING).items()
        if key.endswith(".context_length") and isinstance(value, int)
    ]
    capabilities = shown.get("capabilities")
    can_chat = capabilities is None or "completion" in capabilities
    return _Traits(
        context_tokens=lengths[0] if lengths else None,
        can_chat=can_chat,
        can_think="thinking" in (capabilities or ()),
        capabilities=_capabilities(capabilities or ()),
    )


def _capabilities(told: Collection[str]) -> tuple[Capability, ...]:
    """Return what a model can do: the server holds any of them to a JSON schema."""
    found: list[Capability] = [ours for theirs, ours in _CAPABILITIES.items() if theirs in told]
    return (*found, "json")
