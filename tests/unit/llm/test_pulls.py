"""Models are fetched once, told to everybody who watches, stopped by whoever may, and say why they failed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.local_models import (
    CancelPull,
    DeleteModel,
    ListPulls,
    ModelPull,
    ModelPullChanged,
    PullModel,
    PullStatus,
    tagged,
)
from parley_llm import pull_board, pulls
from parley_llm.backends.ollama import OllamaOptions
from parley_llm.backends.ollama_library import open_library
from parley_llm.pulls import Pulls
from parley_messaging.bus import Delivery
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.ollama_library import PARTS, SIGNED
from tests.fakes.ollama_server import OllamaFake
from tests.integration.waiting import eventually

MODEL = "ollama/llama3.2:1b"
HELD = "ollama/held:latest"


class Told:
    """What is heard of fetches, and how often other models were told of."""

    def __init__(self) -> None:
        self.events: list[ModelPull] = []
        self.changes = 0

    async def take(self, delivery: Delivery) -> None:
        event = ModelPullChanged.model_validate_json(delivery.data)
        if not event.is_to_stop:
            self.events.append(event.pull)

    async def change(self) -> None:
        self.changes += 1


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    bus = MemoryBus()
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def told(bus: MemoryBus) -> Told:
    told = Told()
    await bus.subscribe(subjects.LLM_PULL_CHANGED, told.take)
    return told


@asynccontextmanager
async def worker(bus: MemoryBus, url: str, told: Told) -> AsyncGenerator[Pulls]:
    """Run one process of the service."""
    async with open_library(OllamaOptions(url=url), ["hf.co"]) as library:
        made = Pulls(bus, library, on_change=told.change)
        await made.start()
        running = asyncio.create_task(made.run())
        await asyncio.sleep(0)
        try:
            yield made
        finally:
            await made.stop()
            running.cancel()
            await asyncio.wait((running,))


@pytest.fixture
async def fetching(bus: MemoryBus, told: Told, ollama_fake: OllamaFake) -> AsyncIterator[Pulls]:
    ollama_fake.models = ()
    async with worker(bus, ollama_fake.url, told) as made:
        yield made


def wanted(model: str) -> PullModel:
    return PullModel(owner_id="operator", model=model)


async def standing(made: Pulls, model: str) -> ModelPull:
    """Return how a fetch stands."""
    found = await made.list(ListPulls(owner_id="operator"))
    return next(pull for pull in found.pulls if pull.model == tagged(model))


async def over(made: Pulls, model: str) -> ModelPull:
    """Return how a fetch has ended."""

    async def is_over() -> bool:
        return (await standing(made, model)).is_settled

    await eventually(is_over)
    return await standing(made, model)


async def test_a_model_is_fetched_part_by_part_and_there_are_other_models_then(
    fetching: Pulls, told: Told, ollama_fake: OllamaFake
):
    begun = await fetching.pull(wanted(MODEL))
    ended = await over(fetching, MODEL)

    async def is_told() -> bool:
        return told.changes == 1 and told.events[-1].is_settled

    await eventually(is_told)
    assert (begun.status, begun.done_bytes) == (PullStatus.PULLING, 0)
    assert (ended.status, ended.error) == (PullStatus.READY, None)
    assert (ended.done_bytes, ended.total_bytes) == (sum(PARTS), sum(PARTS))
    assert ollama_fake.models == ("llama3.2:1b",)
    assert [pull.number for pull in told.events] == sorted(pull.number for pull in told.events)
    assert {"manifest", "layers"} <= {pull.stage for pull in told.events}
    assert told.events[-1].status is PullStatus.READY


async def test_whoever_asks_for_what_is_under_way_takes_part_in_it(fetching: Pulls, ollama_fake: OllamaFake):
    first = await fetching.pull(wanted("ollama/held"))
    second = await fetching.pull(wanted(HELD))
    ollama_fake.letting_on.set()

    assert (second.model, second.started_at_ms) == (first.model, first.started_at_ms)
    assert (await over(fetching, HELD)).status is PullStatus.READY
    assert ollama_fake.pulls["held:latest"] == 1


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("ollama/nobody-has-it", "The library has no model nobody-has-it:latest."),
        ("ollama/full", "The disk of the Ollama server is full."),
        ("ollama/offline", "The Ollama server cannot reach the library."),
        ("ollama/newer", "newer:latest needs a newer Ollama."),
        ("ollama/damaged", "What came of damaged:latest was damaged: ask again."),
        ("ollama/broken", "the model broken:latest broke off its answer"),
    ],
    ids=["unknown", "disk", "offline", "newer", "damaged", "broken-off"],
)
async def test_a_fetch_that_fails_says_why_in_words_of_ours(
    fetching: Pulls, told: Told, caplog: pytest.LogCaptureFixture, model: str, words: str
):
    await fetching.pull(wanted(model))
    ended = await over(fetching, model)

    assert (ended.status, ended.error) == (PullStatus.FAILED, words)
    assert told.changes == 0
    # What a library signs for a while is nobody's to read.
    assert SIGNED not in caplog.text + "".join(pull.model_dump_json() for pull in told.events)


async def test_a_server_that_is_away_is_a_reason_too(bus: MemoryBus, told: Told, unused_tcp_port: int):
    async with worker(bus, f"http://127.0.0.1:{unused_tcp_port}", told) as made:
        await made.pull(wanted(MODEL))
        ended = await over(made, MODEL)

    assert (ended.status, ended.error) == (PullStatus.FAILED, "the model server cannot be reached")


async def test_a_cancelled_fetch_leaves_the_server_and_goes_on_from_there_when_asked_again(
    fetching: Pulls, ollama_fake: OllamaFake
):
    await fetching.pull(wanted(HELD))

    async def has_begun() -> bool:
        return (await standing(fetching, HELD)).done_bytes > 0

    await eventually(has_begun)
    ended = await fetching.cancel(CancelPull(owner_id="operator", model=HELD))

    assert (ended.status, ended.error) == (PullStatus.CANCELLED, "An operator stopped it.")

    async def has_left() -> bool:
        return ollama_fake.left == ["held:latest"]

    await eventually(has_left)
    ollama_fake.letting_on.set()
    again = await fetching.pull(wanted(HELD))
    assert again.started_at_ms >= ended.started_at_ms
    assert (await over(fetching, HELD)).status is PullStatus.READY


async def test_another_process_knows_of_a_fetch_and_has_it_stopped(
    bus: MemoryBus, told: Told, fetching: Pulls, ollama_fake: OllamaFake
):
    async with worker(bus, ollama_fake.url, told) as other:
        await fetching.pull(wanted(HELD))

        async def is_known() -> bool:
            return bool((await other.list(ListPulls(owner_id="o"))).pulls)

        await eventually(is_known)
        joined = await other.pull(wanted(HELD))
        ended = await other.cancel(CancelPull(owner_id="operator", model=HELD))

    assert joined.status is PullStatus.PULLING
    assert (ended.status, ended.error) == (PullStatus.CANCELLED, "An operator stopped it.")
    assert ollama_fake.pulls["held:latest"] == 1


async def test_a_service_that_stops_says_so_of_what_it_fetches(
    fetching: Pulls, told: Told, ollama_fake: OllamaFake
):
    await fetching.pull(wanted(HELD))
    await fetching.stop()

    async def is_told() -> bool:
        return bool(told.events) and told.events[-1].is_settled

    await eventually(is_told)
    assert (told.events[-1].status, told.events[-1].error) == (
        PullStatus.CANCELLED,
        "The service that fetched it has stopped: ask again, what came is kept.",
    )
    with pytest.raises(ParleyError, match="is stopping"):
        await fetching.pull(wanted(MODEL))
    assert not ollama_fake.models


async def test_a_fetch_of_which_nobody_tells_any_more_has_failed(
    bus: MemoryBus, fetching: Pulls, monkeypatch: pytest.MonkeyPatch
):
    lost = ModelPull(
        model=HELD,
        status=PullStatus.PULLING,
        started_at_ms=1,
        changed_at_ms=1,
    )
    event = ModelPullChanged(pull=lost).model_dump_json().encode()
    await bus.publish(subjects.LLM_PULL_CHANGED, event)

    async def is_known() -> bool:
        return bool((await fetching.list(ListPulls(owner_id="o"))).pulls)

    await eventually(is_known)
    monkeypatch.setattr(pull_board, "SILENT_S", 0)
    found = await standing(fetching, HELD)

    assert found.status is PullStatus.FAILED
    assert "is gone" in (found.error or "")


async def test_a_model_is_deleted_once_and_not_while_it_is_fetched(
    fetching: Pulls, told: Told, ollama_fake: OllamaFake
):
    ollama_fake.models = ("llama3.2:1b",)
    gone = DeleteModel(owner_id="operator", model=MODEL)

    await fetching.delete(gone)
    with pytest.raises(ParleyError) as missing:
        await fetching.delete(gone)
    await fetching.pull(wanted(HELD))
    with pytest.raises(ParleyError) as busy:
        await fetching.delete(DeleteModel(owner_id="operator", model=HELD))

    assert ollama_fake.models == ()
    assert told.changes == 1
    assert (missing.value.code, missing.value.field) == (ErrorCode.MODEL_NOT_FOUND, "model")
    assert (busy.value.code, busy.value.field) == (ErrorCode.CONFLICT, "model")


async def test_only_ollama_s_names_of_libraries_that_are_set_are_asked_for(
    fetching: Pulls, ollama_fake: OllamaFake
):
    for model in (
        "openai/gpt-4o",
        "ollama/evil.example/a/b",
        "ollama/a/../b",
        "ollama/169.254.169.254:80/a/b",
    ):
        with pytest.raises(ParleyError) as refused:
            await fetching.pull(wanted(model))
        assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_REQUEST, "model")
    assert not ollama_fake.pulls

    allowed = "ollama/hf.co/someone/tiny:Q4_K_M"
    await fetching.pull(wanted(allowed))
    assert (await over(fetching, allowed)).status is PullStatus.READY


async def test_no_more_are_fetched_at_once_than_may_be(fetching: Pulls, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pulls, "MOST_AT_ONCE", 1)
    await fetching.pull(wanted(HELD))

    with pytest.raises(ParleyError) as refused:
        await fetching.pull(wanted(MODEL))

    assert refused.value.code is ErrorCode.OVERLOADED


def test_a_name_without_a_tag_is_that_of_the_latest():
    assert tagged("ollama/llama3.2") == "ollama/llama3.2:latest"
    assert tagged("ollama/host:5000/a/b") == "ollama/host:5000/a/b:latest"
    assert tagged(MODEL) == MODEL
