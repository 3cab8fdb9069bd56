"""Which backend computes a batch, what happens when it fails, and when it may come back."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_npu.backends.chain import BackendChain
from parley_npu.backends.embedder import BackendError, CutText, Vectors
from parley_npu.metrics import BackendMetrics
from prometheus_client import CollectorRegistry

from tests.fakes.embedding import PROOF, HashEmbedder
from tests.integration.waiting import eventually

TEXTS = ["a cat sleeps", "the market fell", ""]


class Scripted(HashEmbedder):
    """A backend that a test breaks and mends."""

    def __init__(self, name: str, *, most_tokens: int = 1000) -> None:
        self.name = name
        self.fault: Exception | None = None
        self.is_wrong = False
        self.proofs = 0
        self.batches: list[list[str]] = []
        self.is_closed = False
        self._most_tokens = most_tokens
        self._changing = threading.Lock()

    def takes(self, text: CutText) -> bool:
        return len(text.tokens) <= self._most_tokens

    def infer(self, batch: Sequence[CutText]) -> Vectors:
        with self._changing:
            if batch[0].text in PROOF:
                self.proofs += 1
            else:
                self.batches.append([text.text for text in batch])
        if self.fault is not None:
            raise self.fault
        vectors = super().infer(batch)
        return np.roll(vectors, 1, axis=1) if self.is_wrong else vectors

    def close(self) -> None:
        self.is_closed = True


class Hanging(Scripted):
    """A backend that is not open before its gate is."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.gate = threading.Event()

    def open(self) -> None:
        assert self.gate.wait(10)
        assert not self.is_closed


@asynccontextmanager
async def chain_of(
    *backends: HashEmbedder, registry: CollectorRegistry | None = None, cool_down_s: float = 0.01
) -> AsyncGenerator[BackendChain]:
    """Run a chain, and enter the body when all that do not hang have been tried."""
    metrics = BackendMetrics(registry or CollectorRegistry())
    space, parity = HashEmbedder.space, HashEmbedder().parity()
    chain = BackendChain(backends, space, parity, metrics, threads=2, cool_down_s=cool_down_s)
    async with chain.running():

        async def have_been_tried() -> bool:
            links = chain._links  # pyright: ignore[reportPrivateUsage] - nobody else asks for it
            return all(link.is_tried.is_set() or isinstance(link.backend, Hanging) for link in links)

        await eventually(have_been_tried, within_s=10)
        yield chain


async def computed_by(chain: BackendChain) -> set[str]:
    """Compute the texts, compare every vector, and return the names of the backends."""
    computed = await chain.infer(HashEmbedder().cut(TEXTS))
    np.testing.assert_allclose(computed.vectors, HashEmbedder().embed(TEXTS), atol=1e-6)
    return set(computed.backends)


async def until_computed_by(chain: BackendChain, name: str) -> None:
    async def is_back() -> bool:
        return await computed_by(chain) == {name}

    await eventually(is_back, within_s=10)


async def test_the_first_backend_computes_and_the_second_is_not_asked() -> None:
    first, second = Scripted("first"), Scripted("second")
    async with chain_of(first, second) as chain:
        assert await computed_by(chain) == {"first"}

    assert second.batches == []
    assert first.is_closed
    assert second.is_closed


@pytest.mark.parametrize("fault", [BackendError("returned None"), MemoryError("no room"), OSError("gone")])
async def test_a_failed_batch_is_computed_by_the_next_in_the_same_request(fault: Exception) -> None:
    first, second = Scripted("first"), Scripted("second")
    async with chain_of(first, second, cool_down_s=60) as chain:
        first.fault = fault
        assert await computed_by(chain) == {"second"}
        assert await computed_by(chain) == {"second"}

    assert len(first.batches) == 1, "a lost backend is not asked again"


async def test_what_only_a_backend_that_is_still_being_opened_can_compute_waits_for_it() -> None:
    first, second = Scripted("first"), Hanging("second")
    async with chain_of(first, second) as chain:
        first.fault = OSError("gone")
        waiting = asyncio.ensure_future(computed_by(chain))

        async def has_failed() -> bool:
            return bool(first.batches)

        await eventually(has_failed, within_s=10)
        assert not waiting.done()
        second.gate.set()
        assert await waiting == {"second"}


async def test_wrong_vectors_in_a_batch_are_never_given_out_when_they_are_no_vectors() -> None:
    class Zeros(Scripted):
        def infer(self, batch: Sequence[CutText]) -> Vectors:
            right = super().infer(batch)
            return right if batch[0].text in PROOF else right * np.float32("nan")

    async with chain_of(Zeros("first"), Scripted("second")) as chain:
        assert await computed_by(chain) == {"second"}


async def test_a_mended_backend_comes_back_after_a_passed_proof_only() -> None:
    first, second = Scripted("first"), Scripted("second")
    async with chain_of(first, second) as chain:
        first.fault = OSError("gone")
        assert await computed_by(chain) == {"second"}
        first.is_wrong, first.fault = True, None
        proofs = first.proofs

        async def is_proved_again() -> bool:
            return first.proofs > proofs + 2

        await eventually(is_proved_again, within_s=10)
        assert await computed_by(chain) == {"second"}, "its vectors are of another space"
        first.is_wrong = False
        await until_computed_by(chain, "first")


async def test_a_backend_that_passes_every_proof_and_fails_every_batch_is_not_asked_all_the_time() -> None:
    class Unfit(Scripted):
        def infer(self, batch: Sequence[CutText]) -> Vectors:
            vectors = super().infer(batch)
            return vectors if batch[0].text in PROOF else vectors[:-1]

    first, second, registry = Unfit("first"), Scripted("second"), CollectorRegistry()
    async with chain_of(first, second, registry=registry, cool_down_s=60) as chain:
        for proofs in (2, 3):
            assert await computed_by(chain) == {"second"}

            async def is_proved_again(proofs: int = proofs) -> bool:
                serving = registry.get_sample_value("parley_npu_backend_serving", {"backend": "first"})
                return (first.proofs, serving) == (proofs, 1)

            await eventually(is_proved_again, within_s=10)
        for _ in range(5):
            assert await computed_by(chain) == {"second"}

    assert len(first.batches) == 2


async def test_what_changes_after_its_proof_without_failing_gives_out_nothing() -> None:
    first, second = Scripted("first"), Scripted("second")
    first.may_change = True
    async with chain_of(first, second) as chain:
        assert await computed_by(chain) == {"first"}
        first.is_wrong = True
        assert await computed_by(chain) == {"second"}
        first.is_wrong = False
        await until_computed_by(chain, "first")

    assert first.batches[0] == [*TEXTS, PROOF[1]]


async def test_a_backend_of_another_space_never_serves() -> None:
    foreign = Scripted("foreign")
    foreign.is_wrong = True
    registry = CollectorRegistry()
    async with chain_of(foreign, Scripted("second"), registry=registry) as chain:
        assert await computed_by(chain) == {"second"}
        assert registry.get_sample_value("parley_npu_backend_serving", {"backend": "foreign"}) == 0
        assert registry.get_sample_value("parley_npu_backend_serving", {"backend": "second"}) == 1

    assert foreign.batches == []


async def test_a_text_too_long_for_the_first_goes_to_the_second_and_its_batch_mates_do_not() -> None:
    first, second = Scripted("first", most_tokens=4), Scripted("second")
    async with chain_of(first, second) as chain:
        texts = HashEmbedder().cut(["short", "much longer than the first one takes", "short too"])
        computed = await chain.infer(texts)

    assert computed.backends == ["first", "second", "first"]
    np.testing.assert_allclose(computed.vectors, HashEmbedder().infer(texts), atol=1e-6)


async def test_without_any_backend_a_batch_is_refused_and_the_check_says_why() -> None:
    only = Scripted("only")
    async with chain_of(only, cool_down_s=60) as chain:
        chain.check()
        only.fault = OSError("the driver is gone")
        with pytest.raises(ParleyError) as refused:
            await computed_by(chain)
        with pytest.raises(ParleyError):
            await computed_by(chain)
        with pytest.raises(RuntimeError, match="only: OSError: the driver is gone"):
            chain.check()

    assert refused.value.code is ErrorCode.UNAVAILABLE
    assert "driver" not in refused.value.message


async def test_a_chain_whose_backends_are_all_away_at_its_start_serves_when_one_comes() -> None:
    only = Scripted("only")
    only.fault = OSError("not yet")
    async with chain_of(only) as chain:
        with pytest.raises(RuntimeError, match="not yet"):
            chain.check()
        only.fault = None

        async def is_ready() -> bool:
            try:
                chain.check()
            except RuntimeError:
                return False
            return True

        await eventually(is_ready, within_s=10)
        assert await computed_by(chain) == {"only"}


async def test_a_backend_that_hangs_at_the_start_holds_up_nobody_and_serves_when_it_comes() -> None:
    first, second = Hanging("first"), Scripted("second")
    async with chain_of(first, second) as chain:
        try:
            assert await computed_by(chain) == {"second"}
        finally:
            first.gate.set()
        await until_computed_by(chain, "first")


async def test_a_backend_is_not_closed_while_it_is_being_opened() -> None:
    first, second = Hanging("first"), Scripted("second")
    async with chain_of(first, second):
        threading.Timer(0.2, first.gate.set).start()

    assert first.proofs == 1
    assert first.is_closed


async def test_texts_and_failures_are_counted_by_backend() -> None:
    first, second, registry = Scripted("first"), Scripted("second"), CollectorRegistry()
    async with chain_of(first, second, registry=registry, cool_down_s=60) as chain:
        await computed_by(chain)
        first.fault = OSError("gone")
        await computed_by(chain)

    def value(name: str, backend: str) -> float | None:
        return registry.get_sample_value(f"parley_npu_backend_{name}", {"backend": backend})

    assert (value("texts_total", "first"), value("texts_total", "second")) == (3, 3)
    assert (value("failures_total", "first"), value("failures_total", "second")) == (1, 0)
    assert value("parity", "first") == pytest.approx(1)  # pyright: ignore[reportUnknownMemberType] - pytest types it so


async def test_a_backend_that_does_not_close_keeps_nobody_from_closing() -> None:
    class Stuck(Scripted):
        def close(self) -> None:
            raise BackendError("a core has not come back")

    second = Scripted("second")
    async with chain_of(Stuck("first"), second) as chain:
        assert await computed_by(chain) == {"first"}

    assert second.is_closed
