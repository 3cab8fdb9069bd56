"""The models of an Ollama server, found by themselves whenever it answers."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import TokenUsage
from parley_messaging.circuit import Circuit

from parley_llm.language_model import Chunk, FinalChunk, TextChunk

if TYPE_CHECKING:
    from parley_llm.backends.ollama_api import ChatPart, ListedModel, ModelTraits, OllamaApi

PREFIX = "ollama/"
DEFAULT_PORT = 11_434
LIST_TIMEOUT_S = 1.0
TRAITS_TIMEOUT_S = 1.0
END_OF_STREAM_S = 1.0
WATCH_INTERVAL_S = 10.0
CHARS_A_TOKEN = 4

_log = logging.getLogger("parley.llm")


@dataclass(frozen=True, slots=True)
class OllamaOptions:
    """How Ollama is used. `context_tokens` is asked for at most: more takes more of its memory."""

    host: str
    api_key: str | None = field(default=None, repr=False)
    default_model: str = "llama3.2:1b"
    keep_alive: str = "30m"
    context_tokens: int = 8192
    first_token_s: float = 120.0
    gap_s: float = 30.0


class OllamaModel:
    """Every chat model of one Ollama server, as `ollama/<name>`. Open it by `open_ollama`.

    A server that lets its callers wait for the list of models has none for a while: turns are then started
    with another model at once, and do not wait for the list either.
    """

    def __init__(self, options: OllamaOptions, listing: Circuit | None = None) -> None:
        self._options = options
        self._listing = listing or Circuit("ollama")
        self._api: OllamaApi | None = None
        self._traits: dict[tuple[str, str], ModelTraits] = {}
        self._context_tokens: dict[str, int] = {}
        self._listed: tuple[ModelInfo, ...] = ()
        self._asking = asyncio.Lock()

    @property
    def pool(self) -> str:
        return "ollama"

    @property
    def can_continue(self) -> bool:
        return True

    def serves(self, model_id: str) -> bool:
        return model_id.startswith(PREFIX) and len(model_id) > len(PREFIX)

    async def models(self) -> tuple[ModelInfo, ...]:
        try:
            with self._listing.passing(LIST_TIMEOUT_S):
                listed = await (await self._reached()).tags(timeout_s=LIST_TIMEOUT_S)
        except ParleyError as error:
            # One slow answer is no reason to refuse the turns of its models.
            return self._listed if error.code is ErrorCode.TIMEOUT else ()
        traits = await asyncio.gather(*(self._known_traits(model) for model in listed))
        pairs = [pair for pair in zip(listed, traits, strict=True) if pair[1] is None or pair[1].can_chat]
        pairs.sort(key=lambda pair: pair[0].name != self._options.default_model)
        self._listed = tuple(self._info(model) for model, _ in pairs)
        return self._listed

    async def keep_loaded(self) -> None:
        """Have the preferred model loaded whenever the server comes up; runs until it is cancelled."""
        is_loaded = False
        while True:
            models = await self.models()
            if not models:
                is_loaded = False
            elif not is_loaded:
                is_loaded = await self.load(models[0].id)
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def load(self, model_id: str) -> bool:
        """Load a model with the context that answers will use; a different one would load it again."""
        name = model_id.removeprefix(PREFIX)
        try:
            api = await self._reached()
            options = {"num_ctx": await self._context_of(api, name)}
            await api.load(
                name,
                keep_alive=self._options.keep_alive,
                options=options,
                timeout_s=self._options.first_token_s,
            )
        except ParleyError as error:
            _log.warning("model not loaded", extra={"model": model_id, "reason": str(error)})
            return False
        _log.info("model loaded", extra={"model": model_id})
        return True

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        name = job.model.removeprefix(PREFIX)
        api = await self._reached()
        options = _sampling(job, written) | {"num_ctx": await self._context_of(api, name)}
        parts = api.chat(
            name,
            _messages(job, written),
            keep_alive=self._options.keep_alive,
            options=options,
            first_token_s=self._options.first_token_s,
            gap_s=self._options.gap_s,
        )
        async with aclosing(parts):
            async for part in parts:
                if part.text:
                    yield TextChunk(part.text)
                if part.is_done:
                    await _read_to_end(parts)
                    yield _final(part)
                    return
        raise ParleyError(ErrorCode.UPSTREAM_FAILED, f"the model {name} broke off its answer")

    async def close(self) -> None:
        """Close the connections to the server."""
        if self._api is not None:
            await self._api.close()

    async def _reached(self) -> "OllamaApi":
        """Return the client of a server that accepts connections; the client is built on first need."""
        if self._api is None:
            url = server_url(self._options.host)
            await _connect_once(url)
            client_of = await asyncio.to_thread(_import_client)
            self._api = self._api or client_of(url, self._options.api_key)
        return self._api

    async def _known_traits(self, model: "ListedModel") -> "ModelTraits | None":
        """Return what is known of a model, asked once a version; None when it cannot be told now."""
        key = (model.name, model.digest)
        if key not in self._traits and self._api is not None:
            with suppress(ParleyError):
                traits = await self._api.show(model.name, timeout_s=TRAITS_TIMEOUT_S)
                self._traits[key] = traits
                self._context_tokens[model.name] = self._usable(traits)
        return self._traits.get(key)

    async def _context_of(self, api: "OllamaApi", name: str) -> int:
        """Return the context to ask for; the model's own limit is looked up on its first use."""
        if name in self._context_tokens:
            return self._context_tokens[name]
        async with self._asking:
            if name in self._context_tokens:
                return self._context_tokens[name]
            traits = await api.show(name, timeout_s=self._options.first_token_s)
            self._context_tokens[name] = self._usable(traits)
            return self._context_tokens[name]

    def _usable(self, traits: "ModelTraits") -> int:
        return min(traits.context_tokens or self._options.context_tokens, self._options.context_tokens)

    def _info(self, model: "ListedModel") -> ModelInfo:
        return ModelInfo(
            id=f"{PREFIX}{model.name}",
            pool=self.pool,
            context_tokens=self._context_tokens.get(model.name, self._options.context_tokens),
            owned_by="ollama",
            created_at_s=model.modified_at_s,
        )


@asynccontextmanager
async def open_ollama(options: OllamaOptions, listing: Circuit | None = None) -> AsyncGenerator[OllamaModel]:
    """Open the models of a server, which may be away; close its connections at the end."""
    model = OllamaModel(options, listing)
    try:
        yield model
    finally:
        await model.close()


def _import_client() -> "type[OllamaApi]":
    # Importing the client takes a moment of computing and memory.
    from parley_llm.backends.ollama_api import OllamaApi  # noqa: PLC0415 - only with a server

    return OllamaApi


def server_url(host: str) -> str:
    """Return the URL that `OLLAMA_HOST` means; without a scheme the port is Ollama's own."""
    address = urlsplit(host if "://" in host else f"http://{host}")
    name, port = address.hostname or "127.0.0.1", address.port
    if port is None:
        port = {"https": 443, "http": 80}.get(address.scheme, 80) if "://" in host else DEFAULT_PORT
    return f"{address.scheme}://{f'[{name}]' if ':' in name else name}:{port}{address.path.rstrip('/')}"


async def _connect_once(url: str) -> None:
    """Raise ParleyError unavailable unless the server accepts a connection."""
    address = urlsplit(url)
    try:
        async with asyncio.timeout(LIST_TIMEOUT_S):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
    except (OSError, TimeoutError) as error:
        raise ParleyError(ErrorCode.UNAVAILABLE, "Ollama cannot be reached") from error
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _messages(job: GenerateJob, written: str) -> list[dict[str, str]]:
    """Return the prompt; a last message of the assistant is a prefix that Ollama goes on from."""
    messages = [{"role": message.role, "content": message.content} for message in job.messages]
    return [*messages, {"role": "assistant", "content": written}] if written else messages


def _sampling(job: GenerateJob, written: str) -> dict[str, Any]:
    params = job.params
    most = params.max_tokens
    if most is not None and written:
        most = max(1, most - len(written) // CHARS_A_TOKEN)
    options = {
        "temperature": params.temperature,
        "top_p": params.top_p,
        "num_predict": most,
        "seed": params.seed,
        "stop": list(params.stop) or None,
    }
    return {name: value for name, value in options.items() if value is not None}


async def _read_to_end(parts: "AsyncGenerator[ChatPart, None]") -> None:
    """Read the end of the stream after its last part, so that the connection can be used again."""
    with suppress(ParleyError, TimeoutError):
        async with asyncio.timeout(END_OF_STREAM_S):
            async for _ in parts:
                pass


def _final(part: "ChatPart") -> FinalChunk:
    usage = TokenUsage(prompt_tokens=part.prompt_tokens, completion_tokens=part.completion_tokens)
    return FinalChunk(usage, "length" if part.done_reason == "length" else "stop")
