"""Backends in the order of preference: each serves while it is proven, and the next one takes over."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import VectorSpace
from parley_messaging.circuit import COOL_DOWN_S, Circuit

from parley_npu.backends.embedder import Backend, BackendError, CutText, Vectors
from parley_npu.metrics import BackendMetrics
from parley_npu.parity import Parity, checked

log = logging.getLogger("parley.npu")

Result = TypeVar("Result")

FAILURES = 2
"""One failed batch is followed by a proof at once; when that fails too, the next waits for a cool-down."""

POLL_S = 0.1
# A failure counts whether it was quick or slow: each costs its batch a second computation.
ANY_FAILURE = 0.0


@dataclass(frozen=True, slots=True)
class Computed:
    """Vectors in the order of the batch, and which backend each is from."""

    vectors: Vectors
    backends: Sequence[str]


class Link:
    """A backend, and whether it may serve: only from a passed proof to the next failure."""

    def __init__(self, backend: Backend, cool_down_s: float) -> None:
        self.backend = backend
        self.circuit = Circuit(backend.name, failures=FAILURES, cool_down_s=cool_down_s)
        self.lost = asyncio.Event()
        self.lose("not tried yet")

    @property
    def is_proven(self) -> bool:
        return not self.lost.is_set()

    def prove(self) -> None:
        self.lost.clear()

    def lose(self, reason: str) -> None:
        self.reason = reason
        self.lost.set()


class BackendChain:
    """Computes each batch by the first proven backend that takes it; a failed one is computed by the next.

    A backend is proven by `Parity` at the start and again after each failure, off the way of requests.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        space: VectorSpace,
        parity: Parity,
        metrics: BackendMetrics,
        *,
        threads: int,
        cool_down_s: float = COOL_DOWN_S,
    ) -> None:
        self.space = space
        self._parity = parity
        self._metrics = metrics
        self._links = [Link(backend, cool_down_s) for backend in backends]
        self._threads = ThreadPoolExecutor(threads, "embedding-lane")
        self._proof_threads = ThreadPoolExecutor(len(backends), "backend-proof")
        for link in self._links:
            metrics.watch(link.backend.name, lambda link=link: float(link.is_proven))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["BackendChain"]:
        """Open and prove every backend, then keep them proven within this context."""
        try:
            await asyncio.gather(*(self._prove(link) for link in self._links))
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep_proven(link)) for link in self._links]
                try:
                    yield self
                finally:
                    for keeper in keepers:
                        keeper.cancel()
        finally:
            await self._close()
            self._threads.shutdown(wait=False)
            self._proof_threads.shutdown(wait=False)

    async def infer(self, batch: Sequence[CutText]) -> Computed:
        """Compute a batch; ParleyError `unavailable` when no proven backend manages to."""
        vectors = np.empty((len(batch), self.space.dimensions), np.float32)
        names = [""] * len(batch)
        left = list(range(len(batch)))
        for link in self._links:
            rows = [row for row in left if link.is_proven and link.backend.takes(batch[row])]
            if rows and (found := await self._ask(link, [batch[row] for row in rows])) is not None:
                vectors[rows] = found
                for row in rows:
                    names[row] = link.backend.name
                left = [row for row in left if not names[row]]
        if left:
            raise ParleyError(ErrorCode.UNAVAILABLE, "Nothing can compute embeddings at the moment.")
        return Computed(vectors, names)

    def check(self) -> None:
        """Raise when no backend may serve."""
        if not any(link.is_proven for link in self._links):
            reasons = "; ".join(f"{link.backend.name}: {link.reason}" for link in self._links)
            raise RuntimeError(f"no backend gives vectors of {self.space.engine}: {reasons}")

    async def _close(self) -> None:
        for link in self._links:
            try:
                await self._run(self._proof_threads, link.backend.close)
            except BackendError as error:
                log.warning(
                    "a backend did not close",
                    extra={"backend": link.backend.name, "reason": error.message},
                )

    async def _ask(self, link: Link, batch: Sequence[CutText]) -> Vectors | None:
        """Return the vectors of a batch, or None when the backend failed, which is then lost."""
        shape = (len(batch), self.space.dimensions)
        try:
            with link.circuit.passing(ANY_FAILURE):
                vectors = await self._run(self._threads, lambda: checked(link.backend.infer(batch), shape))
        except ParleyError as error:
            self._metrics.count_failure(link.backend.name)
            log.warning("a backend failed", extra={"backend": link.backend.name, "reason": error.message})
            link.lose(error.message)
            return None
        self._metrics.count_texts(link.backend.name, len(batch))
        return vectors

    async def _keep_proven(self, link: Link) -> None:
        while True:
            await link.lost.wait()
            if not await self._prove(link):
                await asyncio.sleep(POLL_S)

    async def _prove(self, link: Link) -> bool:
        """Open a backend and compare its vectors, unless its circuit waits for the end of a cool-down."""

        def proof() -> float:
            link.backend.open()
            return self._parity.cosine(link.backend)

        try:
            with link.circuit.passing(ANY_FAILURE):
                cosine = await self._run(self._proof_threads, proof)
        except BackendError as error:
            if link.reason != error.message:
                log.warning(
                    "a backend is not used", extra={"backend": link.backend.name, "reason": error.message}
                )
            link.lose(error.message)
            return False
        except ParleyError:
            return False  # the circuit is open
        self._metrics.set_parity(link.backend.name, cosine)
        log.info("a backend is used", extra={"backend": link.backend.name, "cosine": round(cosine, 6)})
        link.prove()
        return True

    @staticmethod
    async def _run(threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        """Run what blocks; BackendError for whatever it raises."""
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except BackendError:
            raise
        except Exception as error:  # the boundary to libraries and drivers: whatever they raise is a failure
            raise BackendError(f"{type(error).__name__}: {error}") from error
