"""The wire format of Anthropic's Messages API, and of servers that speak it.

Sources: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/api/models-list
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from parley_contracts.llm import Capability, GenerateJob
from parley_messaging.circuit import Circuits

from parley_llm.backends.anthropic_answers import MessageDecoder, anthropic_refusal
from parley_llm.backends.anthropic_request import ClaudeTraits, message_body
from parley_llm.backends.served_models import ServedModels, open_models_of
from parley_llm.backends.server_errors import Refusal
from parley_llm.backends.server_options import ServerOptions
from parley_llm.backends.wire_format import ChatRequest, ListedModel

if TYPE_CHECKING:
    from parley_llm.backends.server_client import ServerClient

ANTHROPIC_URL = "https://api.anthropic.com"
NEWEST_VERSION = "2026-10-21"
"""From it on callers set no temperature, and keys travel as any bearer's."""

LIST_TIMEOUT_S = 1.5
MOST_LISTED = 1000

Json = Mapping[str, Any]

_NOTHING: Json = {}


@dataclass(frozen=True, kw_only=True)
class AnthropicOptions(ServerOptions):
    """How the API is used. `answer_tokens` is asked for where a caller sets no limit: it has to be named.

    `version` is that of the API, a date; servers of others may know an older one only.
    """

    url: str = ANTHROPIC_URL
    context_tokens: int = 200_000
    answer_tokens: int = 8192
    version: str = NEWEST_VERSION
    watch_interval_s: float = 60.0

    @property
    def is_older(self) -> bool:
        """Whether the API is spoken as before its newest version."""
        return self.version < NEWEST_VERSION

    def headers(self) -> dict[str, str]:
        key = {"x-api-key": self.api_key} if self.api_key and self.is_older else super().headers()
        return {"anthropic-version": self.version, **key}


class AnthropicFormat:
    """How the API lists and asks its models. What one can do is taken from the list."""

    def __init__(self, options: AnthropicOptions) -> None:
        self._options = options
        self._traits: dict[str, ClaudeTraits] = {}

    @property
    def pool(self) -> str:
        return "anthropic"

    @property
    def can_continue(self) -> bool:
        # Newer models refuse a begun answer, and those that take one do not while they think.
        return False

    async def listed(self, server: "ServerClient") -> tuple[ListedModel, ...]:
        entries: list[Json] = (
            await server.call("GET", f"v1/models?limit={MOST_LISTED}", timeout_s=LIST_TIMEOUT_S)
        )["data"]
        self._traits = {str(entry["id"]): _traits(entry) for entry in entries}
        return tuple(self._listed(entry) for entry in entries)

    async def request(
        self, server: "ServerClient", model: str, job: GenerateJob, written: str
    ) -> ChatRequest:
        del server, written  # The answer is begun anew.
        # A model that is not listed is asked for nothing special.
        traits = self._traits.get(model, ClaudeTraits())
        options = self._options
        body = message_body(
            model, job, traits, usual_tokens=options.answer_tokens, takes_sampling=options.is_older
        )
        return ChatRequest("v1/messages", body)

    async def prepare(self, server: "ServerClient", model: str) -> None:
        """Do nothing: the models are always loaded."""

    def decoder(self, model: str) -> MessageDecoder:
        return MessageDecoder(model)

    def refusal(self, status: int, content: bytes) -> Refusal:
        return anthropic_refusal(status, content)

    def _listed(self, entry: Json) -> ListedModel:
        name = str(entry["id"])
        traits = self._traits[name]
        created_at = entry.get("created_at")
        return ListedModel(
            name=name,
            context_tokens=traits.context_tokens or self._options.context_tokens,
            owned_by="anthropic",
            created_at_s=int(datetime.fromisoformat(created_at).timestamp()) if created_at else 0,
            capabilities=_capabilities(traits),
        )


def open_anthropic(
    options: AnthropicOptions, circuits: Circuits | None = None
) -> AbstractAsyncContextManager[ServedModels]:
    """Open the models of Anthropic's API."""
    return open_models_of(AnthropicFormat(options), options, circuits)


def _traits(entry: Json) -> ClaudeTraits:
    told: Json = entry.get("capabilities") or _NOTHING
    thinking: Json = told.get("thinking") or _NOTHING
    types: Json = thinking.get("types") or _NOTHING
    return ClaudeTraits(
        context_tokens=_positive(entry.get("max_input_tokens")),
        answer_tokens=_positive(entry.get("max_tokens")),
        has_effort=_is_supported(told, "effort"),
        thinks_adaptively=_is_supported(types, "adaptive"),
        thinks_by_budget=_is_supported(types, "enabled"),
        can_stop_thinking=_is_supported(types, "disabled") and bool(thinking.get("supported")),
        follows_schemas=_is_supported(told, "structured_outputs"),
        sees=_is_supported(told, "image_input"),
        thinks=bool(thinking.get("supported")),
    )


def _capabilities(traits: ClaudeTraits) -> tuple[Capability, ...]:
    """Return what a model can do: all of them call tools, and answer in JSON when told to."""
    vision: tuple[Capability, ...] = ("vision",) if traits.sees else ()
    reasoning: tuple[Capability, ...] = ("reasoning",) if traits.thinks else ()
    return ("tools", *vision, "json", *reasoning)


def _is_supported(told: Json, name: str) -> bool:
    return bool((told.get(name) or _NOTHING).get("supported"))


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
