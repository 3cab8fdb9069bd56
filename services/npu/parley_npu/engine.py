"""Opens the embedding engine that the settings describe."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from parley_npu.backends.embedder import Embedder
from parley_npu.embedding_lanes import EmbeddingLanes, LaneLimits
from parley_npu.metrics import EmbedMetrics
from parley_npu.model_files import ModelFiles
from parley_npu.settings import NpuSettings


class ModelMissingError(Exception):
    """The model's files are not where the settings say; the text is a sentence for the operator."""


@asynccontextmanager
async def open_engine(settings: NpuSettings, registry: CollectorRegistry) -> AsyncGenerator[EmbeddingLanes]:
    """Load the model and serve it.

    Raises:
        ModelMissingError: The model has not been fetched.
    """
    embedder = await asyncio.to_thread(load_embedder, settings.model_files())
    limits = LaneLimits(
        bulk_lanes=settings.npu_threads,
        batch_tokens=settings.npu_batch_tokens,
        small_texts=settings.npu_small_queue_texts,
        bulk_texts=settings.npu_bulk_queue_texts,
    )
    async with EmbeddingLanes(embedder, limits, EmbedMetrics(registry)).running() as lanes:
        yield lanes


def load_embedder(files: ModelFiles) -> Embedder:
    """Load the model and run it once, so that no request pays for first-time allocations."""
    if not files.is_complete():
        raise ModelMissingError(
            f"The embedding model is not in {files.directory}; "
            f"fetch it with: python -m parley_npu.fetch --model-dir {files.directory}"
        )
    # onnxruntime loads here, off the event loop, and not at all when only the settings are checked.
    from parley_npu.backends.onnx_minilm import OnnxMiniLm  # noqa: PLC0415 -- see above

    embedder = OnnxMiniLm(files)
    embedder.infer(embedder.tokenize(["warm up"]))
    return embedder
