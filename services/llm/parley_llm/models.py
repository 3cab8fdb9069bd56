"""Opens the language models that the settings name, in the order of preference."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from parley_contracts.prices import Prices
from parley_envelope import DataKeys, Originals
from parley_messaging import Service
from parley_messaging.data_key_asking import asking_for_data_keys
from pydantic import SecretStr

from parley_llm.answer_cache import AnswerCache, CacheMeter
from parley_llm.answer_store import AnswerStore, RedisAnswers, answers_client
from parley_llm.backends.anthropic import ANTHROPIC_URL, AnthropicOptions, open_anthropic
from parley_llm.backends.extractive import ExtractiveModel
from parley_llm.backends.ollama import OllamaOptions, open_ollama
from parley_llm.backends.ollama_library import OllamaLibrary, open_library
from parley_llm.backends.openai_compatible import OPENAI_HOST, OpenAiOptions, open_openai
from parley_llm.call_meter import CallMeter, MeteredModel
from parley_llm.catalogue import Catalogue
from parley_llm.declared_sight import DeclaredSight
from parley_llm.file_reading import FileReader, FileReadingModel
from parley_llm.language_model import LanguageModel
from parley_llm.model_prices import ModelPrices, published_prices
from parley_llm.provider_guard import ProviderGuards
from parley_llm.provider_settings import PROVIDERS
from parley_llm.resident_models import ResidentModels
from parley_llm.settings import LlmSettings


@dataclass(frozen=True, slots=True)
class OpenedModels:
    """What a service asks for answers, and what it fetches and deletes models by."""

    catalogue: Catalogue
    library: OllamaLibrary


async def open_models(
    service: Service, settings: LlmSettings, store: AnswerStore | None = None
) -> OpenedModels:
    """Return the catalogue of all models; what they hold open is closed with the service.

    `store` is where answers are remembered.
    """
    ollama = await service.enter(open_ollama(ollama_options(settings), service.circuits))
    service.spawn(ollama.watch)
    registries = _parts(settings.llm_ollama_registries)
    library = await service.enter(open_library(ollama_options(settings), registries, service.circuits))
    preloaded = _parts(settings.llm_ollama_preload)
    residents = ResidentModels(ollama, library, preloaded, period_s=settings.llm_refresh_s)
    service.spawn(residents.run)
    models: list[LanguageModel] = [ollama]
    options = openai_options(settings)
    if options is not None:
        openai = await service.enter(open_openai(options, service.circuits))
        # The first job may be an answer to take over: whether it can be gone on with is to be known by then.
        await openai.models()
        service.spawn(openai.watch)
        models.append(openai)
    claude = anthropic_options(settings)
    if claude is not None:
        anthropic = await service.enter(open_anthropic(claude, service.circuits))
        # What a model can do is known by its list, also to the first job.
        await anthropic.models()
        service.spawn(anthropic.watch)
        models.append(anthropic)
    models.append(ExtractiveModel(delta_ms=settings.llm_extractive_delta_ms))
    prices = model_prices(settings)
    meter = CallMeter(service.metrics, prices)
    reader = FileReader(Originals(service.bus.objects, DataKeys(asking_for_data_keys(service.bus))))
    catalogue = Catalogue(
        [MeteredModel(FileReadingModel(model, reader), meter) for model in models],
        prices=prices,
        sight=DeclaredSight.parse(settings.llm_vision_models),
        guards=ProviderGuards(limits_of(settings), service.circuits),
        answers=None
        if store is None
        else AnswerCache(store, CacheMeter(service.metrics), servers_of(settings)),
    )
    return OpenedModels(catalogue, library)


def model_prices(settings: LlmSettings) -> ModelPrices:
    """Return what models cost; what a provider publishes holds for its own server alone."""
    hosts = {
        "openai": (settings.llm_openai_base_url, OPENAI_HOST),
        "anthropic": (settings.llm_anthropic_base_url, urlsplit(ANTHROPIC_URL).hostname),
    }
    own = {name for name, (url, host) in hosts.items() if url and urlsplit(url).hostname == host}
    return ModelPrices(Prices.parse(settings.llm_prices), published_prices(own))


def ollama_options(settings: LlmSettings) -> OllamaOptions:
    return OllamaOptions(
        url=settings.ollama_url,
        api_key=_plain(settings.llm_ollama_api_key),
        default_model=settings.llm_ollama_default_model,
        keep_alive=settings.llm_ollama_keep_alive,
        context_tokens=settings.llm_ollama_context_tokens,
        **settings.clocks_of("ollama"),
        retry_wait_s=settings.llm_retry_wait_s,
    )


def openai_options(settings: LlmSettings) -> OpenAiOptions | None:
    """Return how the OpenAI-compatible server is used; None without its address.

    A key alone names no server: many shells hold one, and questions must not leave the machine unasked.
    """
    if not settings.llm_openai_base_url:
        return None
    return OpenAiOptions(
        url=settings.llm_openai_base_url,
        api_key=_plain(settings.llm_openai_api_key),
        default_model=settings.llm_openai_default_model,
        continues=settings.llm_openai_continues,
        context_tokens=settings.llm_openai_context_tokens,
        **settings.clocks_of("openai"),
        retry_wait_s=settings.llm_retry_wait_s,
    )


def anthropic_options(settings: LlmSettings) -> AnthropicOptions | None:
    """Return how Anthropic's API is used; None without its address, as for `openai_options`."""
    if not settings.llm_anthropic_base_url:
        return None
    return AnthropicOptions(
        # Some name the address with the version of the API at its end.
        url=settings.llm_anthropic_base_url.rstrip("/").removesuffix("/v1"),
        api_key=_plain(settings.llm_anthropic_api_key),
        default_model=settings.llm_anthropic_default_model,
        answer_tokens=settings.llm_anthropic_answer_tokens,
        version=settings.llm_anthropic_version,
        **settings.clocks_of("anthropic"),
        retry_wait_s=settings.llm_retry_wait_s,
    )


@asynccontextmanager
async def open_answers(settings: LlmSettings) -> AsyncGenerator[AnswerStore | None]:
    """Open where answers are remembered; None where none are."""
    if not settings.llm_cache_s:
        yield None
        return
    url = settings.llm_cache_redis_url
    store = RedisAnswers(
        answers_client(url or settings.redis_url, names_database=url is not None), settings.llm_cache_s
    )
    try:
        yield store
    finally:
        await store.close()


def servers_of(settings: LlmSettings) -> Mapping[str, str]:
    """Return how each provider is used, which decides answers too; keys are no part of it."""
    options = {
        "ollama": ollama_options(settings),
        "openai": openai_options(settings),
        "anthropic": anthropic_options(settings),
    }
    return {pool: repr(one) for pool, one in options.items() if one is not None}


def limits_of(settings: LlmSettings) -> Mapping[str, int]:
    """Return how many calls of a provider there may be at once, whoever they answer."""
    return {**dict.fromkeys(PROVIDERS, settings.llm_slots), **slots_of(settings)}


def slots_of(settings: LlmSettings) -> Mapping[str, int]:
    """Return how many answers may be written at once in the pools that have a limit of their own."""
    slots = {
        "ollama": settings.llm_ollama_slots,
        "openai": settings.llm_openai_slots,
        "anthropic": settings.llm_anthropic_slots,
    }
    return {pool: count for pool, count in slots.items() if count is not None}


def _parts(listed: str) -> tuple[str, ...]:
    return tuple(filter(None, listed.split(",")))


def _plain(key: SecretStr | None) -> str | None:
    """Return a key as it is sent; None when it is empty."""
    return (key.get_secret_value().strip() or None) if key is not None else None
