"""Serves many callers by one model: bounded at the door, batched without a timer, fair between sizes."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import VectorSpace

from parley_npu.backends.chain import BackendChain
from parley_npu.backends.embedder import CutText, Tokenizer, Vectors
from parley_npu.cache import VectorCache
from parley_npu.metrics import EmbedMetrics
from parley_npu.waiting import Batch, EmbedJob, Size, WaitingTexts

log = logging.getLogger("parley.npu")

SMALL_MAX_TEXTS = 16
SMALL_MAX_CHARS = 1024
# Tokenizing this much takes about a millisecond, less than a hop to a thread is worth.
INLINE_TOKENIZE_CHARS = 4096
STUCK_AFTER_S = 30.0


@dataclass(frozen=True)
class LaneLimits:
    """How much is computed at once and how much may be in hand, waiting or computed."""

    bulk_lanes: int
    batch_tokens: int
    small_texts: int
    bulk_texts: int


@dataclass(frozen=True)
class Embedded:
    """Vectors in the order of the texts; `computed_by` names the backends, and `cache` for what it knew."""

    vectors: Vectors
    computed_by: str


class EmbeddingLanes:
    """Lanes are tasks that have one batch after another computed by the chain of backends.

    Bulk lanes prefer large requests and one more lane takes small ones only, so that each size always has a
    lane. A lone text is computed at once; while all lanes are busy, what arrives gathers into batches.
    When too many texts are in hand, a request is refused with `overloaded`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        chain: BackendChain,
        cache: VectorCache | None,
        limits: LaneLimits,
        metrics: EmbedMetrics,
    ) -> None:
        self._tokenizer = tokenizer
        self._chain = chain
        self._cache = cache
        self._limits = limits
        self._metrics = metrics
        self._waiting = WaitingTexts(limits.batch_tokens)
        self._arrived = asyncio.Event()
        self._jobs: set[EmbedJob] = set()
        self._texts_in_hand: Counter[Size] = Counter()
        self._tokenizer_thread = ThreadPoolExecutor(1, "tokenizer")
        self._busy_since_s: dict[str, float] = {}
        self._is_open = False
        for size in Size:
            metrics.watch_queue(size, lambda size=size: self._texts_in_hand[size])

    @property
    def space(self) -> VectorSpace:
        """What all vectors are comparable by, whichever backend computes them."""
        return self._chain.space

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Return vectors in the order of the texts.

        Raises:
            ParleyError: `overloaded` when too much is in hand, `unavailable` while closing and when no
                backend can compute them.
        """
        size = size_of(texts)
        self._admit(size, len(texts))
        started_s = time.perf_counter()
        try:
            embedded = await self._embed(size, texts)
        finally:
            self._texts_in_hand[size] -= len(texts)
        self._metrics.observe_request(size, time.perf_counter() - started_s)
        return embedded

    async def check(self) -> None:
        """Raise when the lanes are closed, a batch does not end, or no backend may serve."""
        if not self._is_open:
            raise RuntimeError("embedding lanes are closed")
        self._chain.check()
        oldest_s = min(self._busy_since_s.values(), default=None)
        if oldest_s is not None and time.monotonic() - oldest_s > STUCK_AFTER_S:
            raise RuntimeError(f"a batch has been computing for more than {STUCK_AFTER_S:.0f} s")

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["EmbeddingLanes"]:
        """Serve within this context; requests still in hand at its end are refused as `unavailable`."""
        try:
            async with asyncio.TaskGroup() as group:
                lanes = [group.create_task(self._lane("small", self._waiting.take_small))]
                for number in range(self._limits.bulk_lanes):
                    lanes.append(group.create_task(self._lane(f"bulk-{number}", self._take_bulk_first)))
                self._is_open = True
                try:
                    yield self
                finally:
                    self._is_open = False
                    for lane in lanes:
                        lane.cancel()
        finally:
            for job in self._jobs:
                job.fail(ParleyError(ErrorCode.UNAVAILABLE, "The embedding service is stopping."))
            self._tokenizer_thread.shutdown(wait=False)

    def _admit(self, size: Size, texts: int) -> None:
        self._refuse_when_closed()
        limit = self._limits.small_texts if size is Size.SMALL else self._limits.bulk_texts
        if self._texts_in_hand[size] + texts > limit:
            self._metrics.count_refusal(size)
            raise ParleyError(ErrorCode.OVERLOADED, "Too many texts are waiting for their embeddings.")
        self._texts_in_hand[size] += texts

    def _refuse_when_closed(self) -> None:
        if not self._is_open:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The embedding service is stopping.")

    async def _embed(self, size: Size, texts: Sequence[str]) -> Embedded:
        cut = await self._cut(texts)
        vectors = np.empty((len(texts), self.space.dimensions), np.float32)
        known = await self._cache.look_up(cut) if self._cache else {}
        for row, vector in known.items():
            vectors[row] = vector
        backends = {"cache"} if known else set[str]()
        if rows := {row: text for row, text in enumerate(cut) if row not in known}:
            backends |= await self._compute(size, vectors, rows)
            if self._cache:
                self._cache.keep(list(rows.values()), vectors[list(rows)])
        return Embedded(vectors, ",".join(sorted(backends)))

    async def _compute(self, size: Size, vectors: Vectors, rows: Mapping[int, CutText]) -> set[str]:
        """Have rows of `vectors` filled in, and return the names of the backends that did."""
        self._refuse_when_closed()
        job = EmbedJob(vectors, asyncio.get_running_loop().create_future(), len(rows))
        self._jobs.add(job)
        try:
            self._waiting.add(size, job, rows)
            self._arrived.set()
            await job.done
        finally:
            self._waiting.discard(job)
            self._jobs.discard(job)
        return job.backends

    async def _cut(self, texts: Sequence[str]) -> Sequence[CutText]:
        if sum(map(len, texts)) <= INLINE_TOKENIZE_CHARS:
            return self._tokenizer.cut(texts)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._tokenizer_thread, self._tokenizer.cut, texts)

    def _take_bulk_first(self) -> Batch | None:
        return self._waiting.take_bulk() or self._waiting.take_small()

    async def _lane(self, name: str, take: Callable[[], Batch | None]) -> None:
        while True:
            batch = take()
            if batch is None:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            self._busy_since_s[name] = time.monotonic()
            try:
                await self._run(batch)
            except ParleyError as error:
                for text in batch:
                    text.job.fail(error)
            except Exception:
                log.exception("batch failed", extra={"texts": len(batch), "lane": name})
                for text in batch:
                    text.job.fail(ParleyError(ErrorCode.INTERNAL, "The embedding model failed."))
            finally:
                del self._busy_since_s[name]

    async def _run(self, batch: Batch) -> None:
        self._metrics.observe_batch(len(batch))
        computed = await self._chain.infer([text.cut for text in batch])
        for text, vector, backend in zip(batch, computed.vectors, computed.backends, strict=True):
            text.job.fill(text.row, vector, backend)


def size_of(texts: Sequence[str]) -> Size:
    """A request is small when it is about one batch; a single text always is, for the window cuts it."""
    if len(texts) == 1:
        return Size.SMALL
    is_small = len(texts) <= SMALL_MAX_TEXTS and sum(map(len, texts)) <= SMALL_MAX_CHARS
    return Size.SMALL if is_small else Size.BULK
