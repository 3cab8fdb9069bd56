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
from parley_npu.parity import Parity

log = logging.getLogger("parley.npu")

Result = TypeVar("Result")

FAILED_BATCHES, FAILED_PROOFS = 2, 1
"""So many in a row are followed by a cool-down. A failed batch is followed by a proof at once."""

POLL_S = 0.1
# A failure counts whether it was quick or slow: each costs its batch a second computation.
ANY_FAILURE = 0.0


@dataclass(frozen=True, slots=True)
class Computed:
    """Vectors in the order of the batch, and which backend each is from."""

    vectors: Vectors
    backends: list[str]


class Link:
    """A backend, and whether it may serve: only from a passed proof to the next failure."""

    def __init__(self, backend: Backend, cool_down_s: float) -> None:
        self.backend = backend
        # Two, for a backend may pass every proof and yet fail, or keep waiting, with what it is asked.
        self.batches = Circuit(backend.name, failures=FAILED_BATCHES, cool_down_s=cool_down_s)
        self.proofs = Circuit(backend.name, failures=FAILED_PROOFS, cool_down_s=cool_down_s)
        # Opened, proven and closed by one thread, so that no closing runs into an opening.
        self.thread = ThreadPoolExecutor(1, f"{backend.name}-proof")
        self.lost = asyncio.Event()
        self.is_tried = asyncio.Event()
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
        self._has_begun = asyncio.Event()
        for link in self._links:
            metrics.watch(link.backend.name, lambda link=link: float(link.is_proven))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["BackendChain"]:
        """Keep every backend proven within this context, which begins when one is or all have been tried."""
        try:
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep_proven(link)) for link in self._links]
                try:
                    await self._has_begun.wait()
                    yield self
                finally:
                    for keeper in keepers:
                        keeper.cancel()
        finally:
            await asyncio.gather(*(self._close(link) for link in self._links))
            self._threads.shutdown(wait=False)

    async def infer(self, batch: Sequence[CutText]) -> Computed:
        """Compute a batch; ParleyError `unavailable` when no proven backend manages to."""
        computed = Computed(np.empty((len(batch), self.space.dimensions), np.float32), [""] * len(batch))
        late = [link for link in self._links if not link.is_tried.is_set()]
        for link in self._links:
            await self._fill(computed, batch, link)
        for link in late:  # a service that has just begun may still be proving what is needed
            if not all(computed.backends):
                await link.is_tried.wait()
                await self._fill(computed, batch, link)
        if not all(computed.backends):
            raise ParleyError(ErrorCode.UNAVAILABLE, "Nothing can compute embeddings at the moment.")
        return computed

    def check(self) -> None:
        """Raise when no backend may serve."""
        if not any(link.is_proven for link in self._links):
            reasons = "; ".join(f"{link.backend.name}: {link.reason}" for link in self._links)
            raise RuntimeError(f"no backend gives vectors of {self.space.engine}: {reasons}")

    async def _close(self, link: Link) -> None:
        try:
            await self._run(link.thread, link.backend.close)
        except BackendError as error:
            log.warning(
                "a backend did not close", extra={"backend": link.backend.name, "reason": error.message}
            )
        link.thread.shutdown(wait=False)

    async def _fill(self, computed: Computed, batch: Sequence[CutText], link: Link) -> None:
        """Have a backend compute what is still missing and what it takes."""
        rows = [
            row
            for row, name in enumerate(computed.backends)
            if not name and link.is_proven and link.backend.takes(batch[row])
        ]
        if rows and (found := await self._ask(link, [batch[row] for row in rows])) is not None:
            computed.vectors[rows] = found
            for row in rows:
                computed.backends[row] = link.backend.name

    async def _ask(self, link: Link, batch: Sequence[CutText]) -> Vectors | None:
        """Return the vectors of a batch; None when the backend failed, and is lost, or is not asked now."""
        try:
            with link.batches.passing(ANY_FAILURE):
                vectors = await self._run(self._threads, lambda: self._parity.computed(link.backend, batch))
        except BackendError as error:
            self._metrics.count_failure(link.backend.name)
            log.warning("a backend failed", extra={"backend": link.backend.name, "reason": error.message})
            link.lose(error.message)
            return None
        except ParleyError:
            return None  # the circuit is open
        self._metrics.count_texts(link.backend.name, len(batch))
        return vectors

    async def _keep_proven(self, link: Link) -> None:
        while True:
            await link.lost.wait()
            is_proven = await self._prove(link)
            link.is_tried.set()
            if is_proven or all(link.is_tried.is_set() for link in self._links):
                self._has_begun.set()
            if not is_proven:
                await asyncio.sleep(POLL_S)

    async def _prove(self, link: Link) -> bool:
        """Open a backend and compare its vectors, unless its circuit waits for the end of a cool-down."""

        def proof() -> float:
            link.backend.open()
            return self._parity.cosine(link.backend)

        try:
            with link.proofs.passing(ANY_FAILURE):
                cosine = await self._run(link.thread, proof)
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
