"""Embeddings through the official `openai` client, unmodified."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import MAX_TEXTS, Embed, Embeddings
from parley_contracts.turns import TokenUsage
from parley_gateway.embeddings_api import WINDOW_TOKENS
from parley_messaging.memory_bus import MemoryBus

from tests.fakes.embedding import DIMENSIONS, MODEL, FakeNpu, HashEmbedder
from tests.unit.gateway.http_edge import KEY, open_edge

TEXTS = ["The pen passes on.", "Naïve façade", "第二"]


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus()
    bus.answer(subjects.NPU_EMBED, Embed, FakeNpu().embed)
    return bus


@pytest_asyncio.fixture
async def http(bus: MemoryBus, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with open_edge(bus, tmp_path) as http:
        yield http


def openai_client(http: httpx.AsyncClient, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url="http://gateway/v1",
        api_key=key,
        max_retries=0,
        http_client=http,  # pyright: ignore[reportArgumentType]  its own HTTP package has the same client
    )


@pytest.fixture
def client(http: httpx.AsyncClient) -> AsyncOpenAI:
    return openai_client(http, KEY)


async def test_vectors_come_in_the_order_of_the_texts_as_base64_and_as_numbers(client: AsyncOpenAI) -> None:
    expected = HashEmbedder().embed(TEXTS)
    as_base64 = await client.embeddings.create(model=MODEL, input=TEXTS)
    as_numbers = await client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float")
    for found in (as_base64, as_numbers):
        assert [one.index for one in found.data] == [0, 1, 2]
        assert np.array_equal(np.array([one.embedding for one in found.data], np.float32), expected)
        assert found.model == MODEL
        assert found.usage.total_tokens == found.usage.prompt_tokens > 0


async def test_one_text_needs_no_list(client: AsyncOpenAI) -> None:
    found = await client.embeddings.create(model=MODEL, input=TEXTS[0], dimensions=DIMENSIONS)
    (only,) = found.data
    assert len(only.embedding) == DIMENSIONS


@pytest.mark.parametrize("chars", [1, 5, 100_000], ids=["one", "few", "beyond the window"])
async def test_what_was_read_is_guessed_as_it_is_for_turns(client: AsyncOpenAI, chars: int) -> None:
    found = await client.embeddings.create(model=MODEL, input="x" * chars)
    assert found.usage.prompt_tokens == min(WINDOW_TOKENS, TokenUsage.guessed(chars, 0).prompt_tokens)


async def test_another_model_is_not_found(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.embeddings.create(model="text-embedding-3-small", input="text")
    assert refused.value.code == "model_not_found"
    assert refused.value.param == "model"


@pytest.mark.parametrize(
    "asked",
    [
        {"input": ""},
        {"input": []},
        {"input": ["text"] * (MAX_TEXTS + 1)},
        {"input": [[1, 2, 3]]},
        {"input": "text", "dimensions": 128},
    ],
)
async def test_what_is_not_understood_is_refused_in_openais_shape(
    http: httpx.AsyncClient, asked: dict[str, object]
) -> None:
    response = await http.post("/v1/embeddings", json={"model": MODEL, **asked})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_request")
    assert error["param"].split(".")[0] in asked
    assert "str" not in error["param"].split(".")


async def test_a_strangers_key_is_not_taken(http: httpx.AsyncClient) -> None:
    client = openai_client(http, "pk_wrong")
    with pytest.raises(openai.AuthenticationError):
        await client.embeddings.create(model=MODEL, input="text")


async def test_too_much_at_once_is_said_so(client: AsyncOpenAI, bus: MemoryBus) -> None:
    async def refuse(_: Embed) -> Embeddings:
        raise ParleyError(ErrorCode.OVERLOADED, "Too many texts wait.")

    bus.answer(subjects.NPU_EMBED, Embed, refuse)
    with pytest.raises(openai.RateLimitError) as refused:
        await client.embeddings.create(model=MODEL, input="text")
    assert refused.value.response.headers["Retry-After"]
