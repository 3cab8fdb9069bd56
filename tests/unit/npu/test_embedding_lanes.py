import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_npu.backends.chain import BackendChain
from parley_npu.backends.embedder import CutText, Vectors
from parley_npu.embedding_lanes import EmbeddingLanes, LaneLimits, size_of
from parley_npu.metrics import BackendMetrics, EmbedMetrics
from parley_npu.waiting import Size
from prometheus_client import CollectorRegistry

from tests.fakes.embedding import PROOF, HashEmbedder
from tests.integration.waiting import eventually

LARGE = [f"text number {n} of a large request" for n in range(64)]


class GatedEmbedder(HashEmbedder):
    """Holds each batch at a gate of its own, so that a test decides what is busy when."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self._gates: list[threading.Event] = []
        self._is_open = False
        self._changing = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._entered = asyncio.Semaphore(0)

    def infer(self, batch: Sequence[CutText]) -> Vectors:
        if batch[0].text in PROOF:
            return super().infer(batch)
        gate = threading.Event()
        with self._changing:
            self.batches.append(len(batch))
            self._gates.append(gate)
            if self._is_open:
                gate.set()
        self._loop.call_soon_threadsafe(self._entered.release)
        assert gate.wait(timeout=10)
        return super().infer(batch)

    async def entered(self, batches: int = 1) -> None:
        """Wait until so many more batches stand at their gates."""
        for _ in range(batches):
            await asyncio.wait_for(self._entered.acquire(), 10)

    def let_pass(self, *batches: int) -> None:
        for batch in batches:
            self._gates[batch].set()

    def let_all_pass(self) -> None:
        with self._changing:
            self._is_open = True
            self.let_pass(*range(len(self._gates)))


class FailingOnce(HashEmbedder):
    def __init__(self) -> None:
        self._failures_left = 1

    def infer(self, batch: Sequence[CutText]) -> Vectors:
        if self._failures_left and batch[0].text not in PROOF:
            self._failures_left -= 1
            raise MemoryError("no room")
        return super().infer(batch)


@asynccontextmanager
async def lanes_of(
    backend: HashEmbedder, *, registry: CollectorRegistry | None = None, small_texts: int = 64
) -> AsyncGenerator[EmbeddingLanes]:
    registry = registry or CollectorRegistry()
    limits = LaneLimits(bulk_lanes=1, batch_tokens=128, small_texts=small_texts, bulk_texts=128)
    chain = BackendChain(
        [backend], backend.space, backend.parity(), BackendMetrics(registry), threads=2, cool_down_s=0.05
    )
    lanes = EmbeddingLanes(HashEmbedder(), chain, None, limits, EmbedMetrics(registry))
    async with chain.running(), lanes.running():
        yield lanes


async def test_vectors_come_back_in_the_order_of_the_texts() -> None:
    texts = [f"{'word ' * (n * 7 % 90)} {n}" for n in range(100)]
    async with lanes_of(HashEmbedder()) as lanes:
        vectors = (await lanes.embed(texts)).vectors

    np.testing.assert_array_equal(vectors, HashEmbedder().embed(texts))


async def test_many_callers_at_once_each_get_their_own_vectors() -> None:
    requests = [[f"caller {n}", f"second text of {n}"] for n in range(30)]
    async with lanes_of(HashEmbedder()) as lanes, asyncio.TaskGroup() as group:
        tasks = [group.create_task(lanes.embed(texts)) for texts in requests]

    for texts, task in zip(requests, tasks, strict=True):
        np.testing.assert_array_equal(task.result().vectors, HashEmbedder().embed(texts))


async def test_what_arrives_while_all_lanes_are_busy_shares_a_batch() -> None:
    embedder = GatedEmbedder()
    async with lanes_of(embedder) as lanes, asyncio.TaskGroup() as group:
        for n in range(2):
            group.create_task(lanes.embed([f"busy {n}"]))
            await embedder.entered()
        for n in range(5):
            group.create_task(lanes.embed([f"waiting {n}"]))
        await asyncio.sleep(0)
        embedder.let_all_pass()

    assert embedder.batches == [1, 1, 5]


async def test_a_question_does_not_wait_behind_a_large_request() -> None:
    embedder = GatedEmbedder()
    async with lanes_of(embedder) as lanes, asyncio.TaskGroup() as group:
        large = group.create_task(lanes.embed(LARGE))
        await embedder.entered()
        question = group.create_task(lanes.embed(["a question"]))
        await embedder.entered()
        embedder.let_pass(1)
        await asyncio.wait_for(question, 10)
        assert not large.done()
        embedder.let_all_pass()

    np.testing.assert_array_equal(large.result().vectors, HashEmbedder().embed(LARGE))


async def test_waiting_questions_do_not_hold_up_a_large_request() -> None:
    embedder = GatedEmbedder()
    async with lanes_of(embedder) as lanes, asyncio.TaskGroup() as group:
        for n in range(2):
            group.create_task(lanes.embed([f"busy {n}"]))
            await embedder.entered()
        for n in range(24):
            group.create_task(lanes.embed([f"question {n}"]))
        group.create_task(lanes.embed(LARGE))
        await asyncio.sleep(0)
        embedder.let_pass(0, 1)
        await embedder.entered(2)
        embedder.let_all_pass()

    questions, of_large = 128 // 16, 128 // 7
    assert sorted(embedder.batches[2:4]) == [questions, of_large]


async def test_a_cancelled_caller_leaves_its_batch_mates_their_vectors() -> None:
    embedder = GatedEmbedder()
    async with lanes_of(embedder) as lanes, asyncio.TaskGroup() as group:
        for n in range(2):
            group.create_task(lanes.embed([f"busy {n}"]))
            await embedder.entered()
        leaving = group.create_task(lanes.embed(["leaving"]))
        staying = group.create_task(lanes.embed(["staying"]))
        embedder.let_pass(0)
        await embedder.entered()
        leaving.cancel()
        await asyncio.wait([leaving])
        embedder.let_all_pass()

    assert embedder.batches == [1, 1, 2]
    assert leaving.cancelled()
    np.testing.assert_array_equal(staying.result().vectors, HashEmbedder().embed(["staying"]))


async def test_a_cancelled_large_request_is_not_computed_to_its_end() -> None:
    embedder = GatedEmbedder()
    async with lanes_of(embedder) as lanes, asyncio.TaskGroup() as group:
        large = group.create_task(lanes.embed(LARGE))
        await embedder.entered()
        large.cancel()
        await asyncio.wait([large])
        embedder.let_pass(0)
        for n in range(2):
            group.create_task(lanes.embed([f"afterwards {n}"]))
            await embedder.entered()
        embedder.let_all_pass()

    assert embedder.batches == [128 // 7, 1, 1]


async def test_a_full_queue_refuses_and_serves_again_when_it_has_room() -> None:
    embedder = GatedEmbedder()
    registry = CollectorRegistry()
    async with lanes_of(embedder, small_texts=3, registry=registry) as lanes:
        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(lanes.embed([f"question {n}"]))
            await embedder.entered()
            with pytest.raises(ParleyError) as refused:
                await lanes.embed(["one too many"])
            large = group.create_task(lanes.embed(LARGE))
            embedder.let_all_pass()
        await lanes.embed(["room again"])

    assert refused.value.code is ErrorCode.OVERLOADED
    assert refused.value.retryable
    assert len(large.result().vectors) == len(LARGE)
    assert registry.get_sample_value("parley_npu_refused_requests_total", {"size": "small"}) == 1
    assert registry.get_sample_value("parley_npu_queue_texts", {"size": "small"}) == 0


async def test_a_failed_batch_fails_its_callers_and_the_lane_goes_on() -> None:
    async with lanes_of(FailingOnce()) as lanes:
        with pytest.raises(ParleyError) as failed:
            await lanes.embed(["unlucky"])
        assert failed.value.code is ErrorCode.UNAVAILABLE
        assert "no room" not in failed.value.message

        async def is_proven_again() -> bool:
            try:
                await lanes.check()
            except RuntimeError:
                return False
            return True

        await eventually(is_proven_again, within_s=10)
        for _ in range(4):
            assert len((await lanes.embed(["next"])).vectors) == 1


async def test_closing_refuses_who_still_waits_and_who_comes_later() -> None:
    embedder = GatedEmbedder()
    async with lanes_of(embedder) as lanes:
        waiting = asyncio.gather(lanes.embed(LARGE), return_exceptions=True)
        await embedder.entered()
    embedder.let_all_pass()

    (refused,) = await asyncio.wait_for(waiting, 10)
    assert isinstance(refused, ParleyError)
    assert refused.code is ErrorCode.UNAVAILABLE
    with pytest.raises(ParleyError, match="stopping"):
        await lanes.embed(["late"])
    with pytest.raises(RuntimeError, match="closed"):
        await lanes.check()


async def test_requests_and_batches_are_counted() -> None:
    registry = CollectorRegistry()
    async with lanes_of(HashEmbedder(), registry=registry) as lanes:
        await lanes.embed(["a question"])
        await lanes.embed(LARGE)

    assert registry.get_sample_value("parley_npu_embed_seconds_count", {"size": "small"}) == 1
    assert registry.get_sample_value("parley_npu_embed_seconds_count", {"size": "bulk"}) == 1
    assert registry.get_sample_value("parley_npu_batch_texts_sum") == 1 + len(LARGE)


def test_one_text_of_any_length_is_small_and_many_long_ones_are_not() -> None:
    assert size_of(["x" * 100_000]) is Size.SMALL
    assert size_of(["short"] * 16) is Size.SMALL
    assert size_of(["short"] * 17) is Size.BULK
    assert size_of(["x" * 600] * 2) is Size.BULK
