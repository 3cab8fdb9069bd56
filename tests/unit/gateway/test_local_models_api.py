"""Operators fetch and delete models: events as they come, to every reader, also when the first has left."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from parley_contracts import subjects
from parley_contracts.llm import ListModels, ModelInfo, ModelList, ModelPrice
from parley_contracts.local_models import (
    CancelPull,
    DeleteModel,
    ListPulls,
    ModelPull,
    PullModel,
)
from parley_contracts.policy import Role
from parley_gateway import pull_events
from parley_gateway.principal import Principal
from parley_llm.backends.ollama import OllamaOptions
from parley_llm.backends.ollama_library import open_library
from parley_llm.pulls import Pulls
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.ollama_server import OllamaFake, open_ollama_fake
from tests.integration.waiting import eventually
from tests.unit.gateway.http_edge import KEY, open_edge
from tests.unit.gateway.known_keys import KnownKeys

PULL = "/api/admin/models/pull"
HELD = "ollama/held:latest"


class Shop:
    """A worker of llm on the bus, and its Ollama server."""

    def __init__(self, bus: MemoryBus, fake: OllamaFake) -> None:
        self.bus = bus
        self.fake = fake
        self.pulls_asked = 0

    async def change(self) -> None:
        """Nobody remembers models here."""

    async def list(self, _: ListModels) -> ModelList:
        price = ModelPrice(prompt=1.5, completion=6)
        models = [
            ModelInfo(
                id=f"ollama/{name}",
                pool="ollama",
                context_tokens=8192,
                owned_by="ollama",
                created_at_s=7,
                capabilities=("tools", "json"),
                price=price,
            )
            for name in self.fake.models
        ]
        return ModelList(models=tuple(models))


@pytest_asyncio.fixture
async def shop() -> AsyncIterator[Shop]:
    bus = MemoryBus()
    async with open_ollama_fake() as fake, open_library(OllamaOptions(url=fake.url)) as library:
        fake.models = ("llama3.2:1b",)
        shop = Shop(bus, fake)
        pulls = Pulls(bus, library, on_change=shop.change)

        async def pull(request: PullModel) -> ModelPull:
            shop.pulls_asked += 1
            return await pulls.pull(request)

        bus.answer(subjects.LLM_PULL_MODEL, PullModel, pull, group="llm")
        bus.answer(subjects.LLM_CANCEL_PULL, CancelPull, pulls.cancel, group="llm")
        bus.answer(subjects.LLM_LIST_PULLS, ListPulls, pulls.list, group="llm")
        bus.answer(subjects.LLM_DELETE_MODEL, DeleteModel, pulls.delete, group="llm")
        bus.answer(subjects.LLM_MODELS, ListModels, shop.list, group="llm")
        await pulls.start()
        running = asyncio.create_task(pulls.run())
        yield shop
        await pulls.stop()
        running.cancel()
        await bus.close()


@pytest_asyncio.fixture
async def client(shop: Shop, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with open_edge(shop.bus, tmp_path) as client:
        yield client


def heard(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    events: list[tuple[str, dict[str, Any]]] = []
    for block in response.text.split("\n\n"):
        if block and not block.startswith(":"):
            name, data = block.split("\n")
            events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


async def test_a_reader_hears_how_a_fetch_stands_to_its_end(client: httpx.AsyncClient, shop: Shop):
    response = await client.post(PULL, json={"model": "ollama/qwen3:0.6b"})

    events = heard(response)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert {name for name, _ in events} == {"pull"}
    last = events[-1][1]
    assert (last["status"], last["model"]) == ("ready", "ollama/qwen3:0.6b")
    assert last["done_bytes"] == last["total_bytes"] > 1_000_000
    assert "qwen3:0.6b" in shop.fake.models


async def test_a_fetch_goes_on_when_its_reader_leaves_and_a_second_one_hears_its_end(
    client: httpx.AsyncClient, shop: Shop
):
    first = asyncio.create_task(client.post(PULL, json={"model": HELD}))

    async def has_begun() -> bool:
        return bool((await client.get("/api/admin/models/pulls")).json()["pulls"])

    await eventually(has_begun)
    first.cancel()
    await asyncio.wait((first,))
    second = asyncio.create_task(client.post(PULL, json={"model": "ollama/held"}))
    third = asyncio.create_task(client.post(PULL, json={"model": HELD}))

    async def have_asked() -> bool:
        return shop.pulls_asked == 3

    await eventually(have_asked)
    shop.fake.letting_on.set()

    for reader in (second, third):
        assert heard(await reader)[-1][1]["status"] == "ready"
    assert shop.fake.pulls["held:latest"] == 1
    assert not shop.fake.left


async def test_a_cancelled_fetch_says_why_to_whoever_follows_it(client: httpx.AsyncClient, shop: Shop):
    reader = asyncio.create_task(client.post(PULL, json={"model": HELD}))

    async def has_begun() -> bool:
        return bool((await client.get("/api/admin/models/pulls")).json()["pulls"])

    await eventually(has_begun)
    cancelled = await client.delete(f"/api/admin/models/pulls/{HELD}")

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    last = heard(await reader)[-1][1]
    assert (last["status"], last["error"]) == ("cancelled", "An operator stopped it.")
    unknown = await client.delete("/api/admin/models/pulls/ollama/never:1b")
    assert (unknown.status_code, unknown.json()["error"]["field"]) == (404, "model")


async def test_a_failed_fetch_says_why_and_is_remembered(client: httpx.AsyncClient):
    events = heard(await client.post(PULL, json={"model": "ollama/full"}))
    listed = (await client.get("/api/admin/models/pulls")).json()["pulls"]

    told = ("failed", "The disk of the Ollama server is full.")
    assert (events[-1][1]["status"], events[-1][1]["error"]) == told
    assert [(one["status"], one["error"]) for one in listed] == [told]


async def test_a_reader_is_told_when_whoever_fetched_is_gone(
    client: httpx.AsyncClient, shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pull_events, "SILENCE_S", 0.02)
    reader = asyncio.create_task(client.post(PULL, json={"model": HELD}))

    async def has_begun() -> bool:
        return bool((await client.get("/api/admin/models/pulls")).json()["pulls"])

    await eventually(has_begun)
    monkeypatch.setattr("parley_llm.pull_board.SILENT_S", 0)
    name, last = heard(await reader)[-1]

    assert name == "pull"
    assert last["status"] == "failed"
    assert "is gone" in last["error"]


async def test_a_model_is_deleted_by_the_name_that_it_is_listed_by(client: httpx.AsyncClient, shop: Shop):
    gone = await client.delete("/api/admin/models/ollama/llama3.2:1b")
    again = await client.delete("/api/admin/models/ollama/llama3.2:1b")

    assert (gone.status_code, shop.fake.models) == (200, ())
    assert (again.status_code, again.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    "body",
    [{}, {"model": "llama3.2"}, {"model": "ollama/a b"}, {"model": "ollama/x", "insecure": True}],
    ids=["nothing", "no-pool", "a-space", "unknown-field"],
)
async def test_what_is_no_model_is_refused_by_its_field(client: httpx.AsyncClient, body: dict[str, Any]):
    response = await client.post(PULL, json=body)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_request"


async def test_only_operators_may(shop: Shop, tmp_path: Path):
    member = Principal(owner_id="m1", role=Role.MEMBER)
    async with open_edge(shop.bus, tmp_path, KnownKeys({KEY: member}, {})) as client:
        answers = [
            await client.post(PULL, json={"model": HELD}),
            await client.get("/api/admin/models/pulls"),
            await client.delete(f"/api/admin/models/pulls/{HELD}"),
            await client.delete("/api/admin/models/ollama/llama3.2:1b"),
        ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert not shop.fake.pulls
    assert shop.fake.models == ("llama3.2:1b",)


async def test_models_are_listed_as_openai_lists_them_with_what_is_ours_apart(client: httpx.AsyncClient):
    listed = (await client.get("/v1/models")).json()["data"][0]

    assert listed == {
        "id": "ollama/llama3.2:1b",
        "object": "model",
        "created": 7,
        "owned_by": "ollama",
        "parley": {
            "context_tokens": 8192,
            "capabilities": ["tools", "json"],
            "price": {"prompt": 1.5, "cached": None, "completion": 6.0},
        },
    }
    assert (await client.get("/v1/models/ollama/llama3.2:1b")).json() == listed
