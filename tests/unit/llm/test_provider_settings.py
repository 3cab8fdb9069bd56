"""The clocks of providers: those of all, and those that one has of its own."""

import pytest
from parley_llm.models import limits_of
from parley_llm.settings import LlmSettings


def test_a_clock_of_a_provider_takes_the_place_of_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_LLM_GAP_S", "7")
    monkeypatch.setenv("PARLEY_LLM_OLLAMA_FIRST_TOKEN_S", "600")
    settings = LlmSettings()
    assert settings.clocks_of("openai") == {
        "connect_s": 2,
        "first_token_s": 120,
        "gap_s": 7,
        "whole_s": 300,
    }
    assert settings.clocks_of("ollama")["first_token_s"] == 600


def test_every_provider_has_a_limit_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_LLM_SLOTS", "9")
    monkeypatch.setenv("PARLEY_LLM_OLLAMA_SLOTS", "4")
    assert limits_of(LlmSettings()) == {"ollama": 4, "openai": 9, "anthropic": 9}
