"""The settings of the language-model service."""

from typing import Literal

from parley_contracts.prices import Prices
from pydantic import AliasChoices, Field, SecretStr, field_validator

from parley_llm.provider_settings import ProviderSettings


class LlmSettings(ProviderSettings):
    """What a language-model worker is told by its environment."""

    llm_slots: int = Field(
        default=32,
        ge=1,
        le=512,
        description="Answers written at once, and calls, a provider of this process.",
    )
    llm_ollama_slots: int | None = Field(
        default=None, ge=1, le=512, description="The same for Ollama's models, such as 4; unset: as all."
    )
    llm_openai_slots: int | None = Field(
        default=None, ge=1, le=512, description="The same for the models of the OpenAI-compatible server."
    )
    llm_anthropic_slots: int | None = Field(
        default=None, ge=1, le=512, description="The same for Anthropic's models."
    )
    llm_retry_wait_s: float = Field(
        default=20,
        ge=0,
        description="Longest wait before a server that refused an answer for now is asked once more.",
    )
    llm_delta_window_ms: float = Field(
        default=15, ge=0, description="Pieces that come within this time travel as one; 0 sends each alone."
    )
    llm_ollama_default_model: str = Field(
        default="llama3.2:1b", description="The Ollama model listed first, loaded at start when it is there."
    )
    llm_ollama_keep_alive: str = Field(
        default="30m", description="How long Ollama keeps a model loaded after its last use; -1m is for ever."
    )
    llm_ollama_preload: str = Field(
        default="",
        pattern=r"^[^/\s,][^\s,]*(,[^/\s,][^\s,]*)*$|^$",
        description="Models of Ollama that are kept loaded, separated by commas, such as qwen3:8b.",
    )
    llm_ollama_registries: str = Field(
        default="",
        pattern=r"^[^/\s,]+(,[^/\s,]+)*$|^$",
        description="Hosts besides Ollama's own library that models may be fetched from, such as hf.co.",
    )
    llm_refresh_s: float = Field(
        default=30, gt=0, description="How often is looked whether there are other models than before."
    )
    llm_ollama_context_tokens: int = Field(
        default=8192,
        ge=512,
        description="Prompt and answer together; lowered to what the model can. More takes more memory.",
    )
    llm_ollama_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("PARLEY_LLM_OLLAMA_API_KEY", "OLLAMA_API_KEY"),
        description="The key that an Ollama server behind a proxy asks for.",
    )
    llm_openai_base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("PARLEY_LLM_OPENAI_BASE_URL", "OPENAI_BASE_URL"),
        pattern=r"^(https?://\S+)?$",
        description="OpenAI-compatible server, such as http://127.0.0.1:8001/v1; unset is none.",
    )
    llm_openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("PARLEY_LLM_OPENAI_API_KEY", "OPENAI_API_KEY"),
        description="The key that this server asks for.",
    )
    llm_openai_default_model: str | None = Field(
        default=None, description="The model of this server listed first; unset leaves the server's order."
    )
    llm_openai_continues: Literal["auto", "true", "false"] = Field(
        default="auto",
        description="Whether it goes on from a begun answer: auto means vLLM, SGLang and llama.cpp do.",
    )
    llm_openai_context_tokens: int = Field(
        default=8192, ge=512, description="Prompt and answer together, for models that do not tell theirs."
    )
    llm_anthropic_base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("PARLEY_LLM_ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL"),
        pattern=r"^(https?://\S+)?$",
        description="Anthropic's API, https://api.anthropic.com, or a server that speaks it; unset is none.",
    )
    llm_anthropic_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("PARLEY_LLM_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"),
        description="The key that this server asks for.",
    )
    llm_anthropic_version: str = Field(
        default="2026-10-21",
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="Version of the API; 2023-06-01, with a temperature, for servers that know no newer.",
    )
    llm_anthropic_default_model: str | None = Field(
        default=None, description="The model of this server listed first; unset leaves the server's order."
    )
    llm_anthropic_answer_tokens: int = Field(
        default=8192,
        ge=1,
        le=131_072,
        description="Longest answer where the caller sets no limit: this API has to be told one.",
    )
    llm_vision_models: str = Field(
        default="openai/gpt-4o*,openai/gpt-4.1*,openai/gpt-5*,openai/o3*,openai/o4*",
        description="Models that see images though their server does not say so: ids with * and ?, separated "
        "by commas.",
    )
    llm_prices: str = Field(
        default="{}",
        validation_alias=AliasChoices("PARLEY_LLM_PRICES", "PARLEY_GATEWAY_PRICES"),
        description="What models cost, for the list of models and the metrics: as PARLEY_GATEWAY_PRICES.",
    )
    llm_cache_s: int = Field(
        default=3600,
        ge=0,
        le=2_592_000,
        description="How long answers are remembered for who asks the same again, where wanted; 0 is never.",
    )
    llm_cache_redis_url: str | None = Field(
        default=None, description="Redis that remembers answers; unset is database 2 of REDIS_URL."
    )
    llm_extractive_delta_ms: float = Field(
        default=0, ge=0, description="Pause between two pieces of a quoted answer; tests pace answers by it."
    )

    @field_validator("llm_prices")
    @classmethod
    def _are_prices(cls, value: str) -> str:
        Prices.parse(value)
        return value
