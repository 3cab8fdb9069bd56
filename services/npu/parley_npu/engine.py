"""Opens the embedding engine that the settings describe."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from parley_contracts.npu import VectorSpace
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from parley_npu.backends.chain import BackendChain
from parley_npu.backends.embedder import Backend
from parley_npu.backends.ollama import OllamaMiniLm
from parley_npu.backends.rknn_minilm import RknnMiniLm
from parley_npu.cache import VectorCache
from parley_npu.embedding_lanes import EmbeddingLanes, LaneLimits
from parley_npu.metrics import BackendMetrics, CacheMetrics, EmbedMetrics
from parley_npu.model_files import DIMENSIONS, ENGINE, MODEL, ModelFiles
from parley_npu.parity import Parity, read_parity
from parley_npu.redis_values import RedisValues
from parley_npu.settings import BackendName, NpuSettings
from parley_npu.tokenizing import WordPieces

SPACE = VectorSpace(MODEL, ENGINE, DIMENSIONS)
CACHE_DATABASE = 5
"""The logical database of the embedding cache, by default: each purpose has one of its own."""

CONNECT_S = 1.0
DAY_S = 86_400


class ModelMissingError(Exception):
    """The model's files are not where the settings say; the text is a sentence for the operator."""


@asynccontextmanager
async def open_engine(settings: NpuSettings, registry: CollectorRegistry) -> AsyncGenerator[EmbeddingLanes]:
    """Load the model, prove the backends and serve.

    Raises:
        ModelMissingError: The model has not been fetched.
    """
    files = settings.model_files()
    if not files.is_complete():
        raise ModelMissingError(
            f"The embedding model is not in {files.directory}; "
            f"fetch it with: python -m parley_npu.fetch --model-dir {files.directory}"
        )
    tokenizer, parity = await asyncio.to_thread(_open_tokenizer, files)
    limits = LaneLimits(
        bulk_lanes=settings.npu_threads,
        batch_tokens=settings.npu_batch_tokens,
        small_texts=settings.npu_small_queue_texts,
        bulk_texts=settings.npu_bulk_queue_texts,
    )
    backends = [_backend(name, settings, files) for name in settings.backend_names()]
    metrics = BackendMetrics(registry)
    async with AsyncExitStack() as stack:
        chain = BackendChain(backends, SPACE, parity, metrics, threads=limits.bulk_lanes + 1)
        await stack.enter_async_context(chain.running())
        cache = (
            await stack.enter_async_context(_cache(settings, registry)) if settings.npu_cache_days else None
        )
        lanes = EmbeddingLanes(tokenizer, chain, cache, limits, EmbedMetrics(registry))
        yield await stack.enter_async_context(lanes.running())


def _open_tokenizer(files: ModelFiles) -> tuple[WordPieces, Parity]:
    tokenizer = WordPieces(files)
    return tokenizer, read_parity(tokenizer)


def _backend(name: BackendName, settings: NpuSettings, files: ModelFiles) -> Backend:
    match name:
        case BackendName.RKNN:
            return RknnMiniLm(settings.npu_rknn_path or files.rknn)
        case BackendName.OLLAMA:
            return OllamaMiniLm(settings.ollama_url, settings.npu_ollama_model)
        case BackendName.ONNX:
            # onnxruntime is not loaded when only the settings are checked, nor for other backends.
            from parley_npu.backends.onnx_minilm import OnnxMiniLm  # noqa: PLC0415 -- see above

            return OnnxMiniLm(files)


@asynccontextmanager
async def _cache(settings: NpuSettings, registry: CollectorRegistry) -> AsyncGenerator[VectorCache]:
    values = RedisValues(cache_client(settings), settings.npu_cache_days * DAY_S)
    async with VectorCache(SPACE, values, CacheMetrics(registry)).running() as cache:
        yield cache


def cache_client(settings: NpuSettings) -> Redis:
    """Return where vectors are remembered: the setting's own place, else a database of the general server."""
    redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - its **kwargs have no type
        settings.npu_redis_url or settings.redis_url,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        max_connections=4,
    )
    if not settings.npu_redis_url:
        # An address names its database in one of several ways; this is where each of them ends.
        redis.connection_pool.connection_kwargs["db"] = CACHE_DATABASE
    return redis
