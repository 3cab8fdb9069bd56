"""How long providers of models are waited for: each clock for all of them, and for each one its own."""

from typing import Literal, TypedDict

from parley_messaging import ServiceSettings
from pydantic import Field

Provider = Literal["ollama", "openai", "anthropic"]
PROVIDERS: tuple[Provider, ...] = ("ollama", "openai", "anthropic")


class Clocks(TypedDict):
    """How long each part of a call may take."""

    connect_s: float
    first_token_s: float
    gap_s: float
    whole_s: float


class ProviderSettings(ServiceSettings):
    """The clocks of a call: to connect, to the first piece, between two pieces, and for the whole answer."""

    llm_connect_s: float = Field(
        default=2, gt=0, description="Longest wait for a connection to a server of models."
    )
    llm_first_token_s: float = Field(
        default=120,
        gt=0,
        description="Longest wait for the first piece of an answer, model loading included.",
    )
    llm_gap_s: float = Field(
        default=30, gt=0, description="Longest silence of a model between two pieces of an answer."
    )
    llm_whole_s: float = Field(
        default=300, gt=0, description="Longest time for one answer, from its request to its end."
    )
    llm_ollama_connect_s: float | None = Field(
        default=None, gt=0, description="Longest wait for a connection to Ollama; unset: as all."
    )
    llm_ollama_first_token_s: float | None = Field(
        default=None, gt=0, description="Longest wait for Ollama's first piece of an answer; unset: as all."
    )
    llm_ollama_gap_s: float | None = Field(
        default=None, gt=0, description="Longest silence of Ollama between two pieces; unset: as all."
    )
    llm_ollama_whole_s: float | None = Field(
        default=None, gt=0, description="Longest time for one answer of Ollama; unset: as all."
    )
    llm_openai_connect_s: float | None = Field(
        default=None,
        gt=0,
        description="Longest wait for a connection to the OpenAI-like server; unset: as all.",
    )
    llm_openai_first_token_s: float | None = Field(
        default=None,
        gt=0,
        description="Longest wait for the OpenAI-like server's first piece of an answer; unset: as all.",
    )
    llm_openai_gap_s: float | None = Field(
        default=None,
        gt=0,
        description="Longest silence of the OpenAI-like server between two pieces; unset: as all.",
    )
    llm_openai_whole_s: float | None = Field(
        default=None,
        gt=0,
        description="Longest time for one answer of the OpenAI-like server; unset: as all.",
    )
    llm_anthropic_connect_s: float | None = Field(
        default=None, gt=0, description="Longest wait for a connection to Anthropic's API; unset: as all."
    )
    llm_anthropic_first_token_s: float | None = Field(
        default=None,
        gt=0,
        description="Longest wait for Anthropic's API's first piece of an answer; unset: as all.",
    )
    llm_anthropic_gap_s: float | None = Field(
        default=None,
        gt=0,
        description="Longest silence of Anthropic's API between two pieces; unset: as all.",
    )
    llm_anthropic_whole_s: float | None = Field(
        default=None, gt=0, description="Longest time for one answer of Anthropic's API; unset: as all."
    )

    def clocks_of(self, provider: Provider) -> Clocks:
        """Return the clocks of a provider: its own where they are set, else those of all."""

        def seconds(clock: str) -> float:
            own: float | None = getattr(self, f"llm_{provider}_{clock}")
            return getattr(self, f"llm_{clock}") if own is None else own

        return Clocks(
            connect_s=seconds("connect_s"),
            first_token_s=seconds("first_token_s"),
            gap_s=seconds("gap_s"),
            whole_s=seconds("whole_s"),
        )
