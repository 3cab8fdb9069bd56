"""Vectors that were computed before: in this process, and in Redis for all of them."""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray
from parley_contracts.npu import VectorSpace
from parley_contracts.redis_rights import EMBEDDING_KEYS

from parley_npu.backends.embedder import CutText, Vectors
from parley_npu.metrics import CacheMetrics
from parley_npu.parity import MAX_NORM_ERROR
from parley_npu.redis_values import RedisValues

log = logging.getLogger("parley.npu")

Vector = NDArray[np.float32]

REMEMBERED_HERE = 4096
WAITING_WRITES = 64
"""Writes that wait for Redis; further ones are dropped, and their texts computed again one day."""

CLOSE_S = 1.0


class VectorCache:
    """Knows a vector by its space and the SHA-256 of the text as cut; a value is its raw float32."""

    def __init__(self, space: VectorSpace, values: RedisValues, metrics: CacheMetrics) -> None:
        self._prefix = f"{EMBEDDING_KEYS}{space.model}:{space.engine}:".encode()
        self._value_bytes = space.dimensions * 4
        self._values = values
        self._metrics = metrics
        self._here: OrderedDict[bytes, bytes] = OrderedDict()
        self._writes: asyncio.Queue[dict[bytes, bytes]] = asyncio.Queue(WAITING_WRITES)

    async def look_up(self, texts: Sequence[CutText]) -> dict[int, Vector]:
        """Return the vectors that are known, by the place of their text."""
        keys = [self._key(text) for text in texts]
        found = {row: vector for row, key in enumerate(keys) if (vector := self._recall(key)) is not None}
        self._metrics.count("memory", len(found))
        missing = [row for row in range(len(texts)) if row not in found]
        if not missing:
            return found
        stored = 0
        for row, value in zip(missing, await self._values.get([keys[row] for row in missing]), strict=False):
            if value is not None and (vector := self._read(value)) is not None:
                found[row] = vector
                self._remember(keys[row], value)
                stored += 1
        self._metrics.count("redis", stored)
        self._metrics.count("miss", len(missing) - stored)
        return found

    def keep(self, texts: Sequence[CutText], vectors: Vectors) -> None:
        """Remember vectors here at once, and have them written to Redis in the background."""
        written = {
            self._key(text): vector.astype("<f4", copy=False).tobytes()
            for text, vector in zip(texts, vectors, strict=True)
        }
        for key, value in written.items():
            self._remember(key, value)
        try:
            self._writes.put_nowait(written)
        except asyncio.QueueFull:
            self._metrics.count_dropped(len(written))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["VectorCache"]:
        """Look up and write within this context; what is not written at its end is given a second."""
        async with self._values.running(), asyncio.TaskGroup() as group:
            writer = group.create_task(self._write())
            try:
                yield self
            finally:
                try:
                    async with asyncio.timeout(CLOSE_S):
                        await self._writes.join()
                except TimeoutError:
                    log.warning("vectors were not written", extra={"batches": self._writes.qsize()})
                writer.cancel()

    async def _write(self) -> None:
        while True:
            written = await self._writes.get()
            if not await self._values.set(written):
                self._metrics.count_dropped(len(written))
            self._writes.task_done()

    def _key(self, text: CutText) -> bytes:
        return self._prefix + hashlib.sha256(text.text.encode()).hexdigest().encode()

    def _recall(self, key: bytes) -> Vector | None:
        value = self._here.get(key)
        if value is None:
            return None
        self._here.move_to_end(key)
        return np.frombuffer(value, "<f4")

    def _remember(self, key: bytes, value: bytes) -> None:
        self._here[key] = value
        self._here.move_to_end(key)
        if len(self._here) > REMEMBERED_HERE:
            self._here.popitem(last=False)

    def _read(self, value: bytes) -> Vector | None:
        """Return the vector of a value; None of what is no vector: others may write to that Redis too."""
        if len(value) != self._value_bytes:
            return None
        vector = np.frombuffer(value, "<f4")
        # Written so that NaN fails too.
        return vector if abs(float(vector @ vector) - 1) <= MAX_NORM_ERROR else None
