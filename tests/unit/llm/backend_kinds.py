"""The kinds of model servers: each backend together with the fake of its server."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from parley_llm.backends.anthropic import AnthropicOptions, open_anthropic
from parley_llm.backends.ollama import OllamaOptions, open_ollama
from parley_llm.backends.openai_compatible import OpenAiOptions, open_openai
from parley_llm.backends.served_models import ServedModels
from parley_messaging.circuit import Circuits

from tests.fakes.anthropic_server import AnthropicFake, open_anthropic_fake
from tests.fakes.ollama_server import OllamaFake, open_ollama_fake
from tests.fakes.openai_server import OpenAiFake, open_openai_fake

Fake = OllamaFake | OpenAiFake | AnthropicFake


@dataclass(frozen=True)
class BackendKind:
    """Opens the fake of a server, and the models of a server at a URL."""

    pool: str
    open_fake: Callable[[], AbstractAsyncContextManager[Fake]]
    open_models: Callable[..., AbstractAsyncContextManager[ServedModels]]

    def id_of(self, name: str) -> str:
        """Return the id of the model that the server calls by a name."""
        return f"{self.pool}/{name}"


def _open_ollama(
    url: str, circuits: Circuits | None = None, **options: Any
) -> AbstractAsyncContextManager[ServedModels]:
    return open_ollama(OllamaOptions(url=url, **options), circuits)


def _open_openai(
    url: str, circuits: Circuits | None = None, **options: Any
) -> AbstractAsyncContextManager[ServedModels]:
    return open_openai(OpenAiOptions(url=f"{url}/v1", **options), circuits)


def _open_anthropic(
    url: str, circuits: Circuits | None = None, **options: Any
) -> AbstractAsyncContextManager[ServedModels]:
    return open_anthropic(AnthropicOptions(url=url, **options), circuits)


OLLAMA = BackendKind("ollama", open_ollama_fake, _open_ollama)
OPENAI = BackendKind("openai", open_openai_fake, _open_openai)
ANTHROPIC = BackendKind("anthropic", open_anthropic_fake, _open_anthropic)
BACKEND_KINDS = (OLLAMA, OPENAI, ANTHROPIC)


@dataclass(frozen=True)
class Served:
    """A fake server and its models. The clocks of the models are short."""

    kind: BackendKind
    fake: Fake
    models: ServedModels

    def id_of(self, name: str) -> str:
        """Return the id of the model that the server calls by a name."""
        return self.kind.id_of(name)
