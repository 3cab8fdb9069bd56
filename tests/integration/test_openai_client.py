"""The official `openai` Python client, unmodified, against a gateway."""

from collections.abc import AsyncGenerator

import numpy as np
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.integration.library import Library
from tests.integration.paced import QUICK, TWO_SECONDS
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

QUICK_ID = f"ollama/{QUICK}"


@pytest_asyncio.fixture(loop_scope="session")
async def client(stack: Stack) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{stack.url()}/v1", api_key=stack.owner_key, max_retries=0) as client:
        yield client


async def test_a_streamed_completion_arrives_in_pieces_and_ends_with_its_usage(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=TWO_SECONDS.id,
        messages=[{"role": "user", "content": "Count."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    text = "".join(pieces)
    assert text == TWO_SECONDS.answer_begun_as(text)
    assert len(pieces) > 10
    assert reasons == ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == TWO_SECONDS.count


async def test_a_whole_completion_is_the_models_answer_with_its_usage(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=QUICK_ID,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Count."}],
    )
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content is not None
    assert choice.message.content.split()[0].endswith("w0")
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


async def test_a_completion_is_cut_at_its_most_tokens_and_says_so(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=QUICK_ID, messages=[{"role": "user", "content": "Count."}], max_tokens=5
    )
    assert len((answer.choices[0].message.content or "").split()) == 5
    assert answer.choices[0].finish_reason == "length"


async def test_a_completion_quotes_documents_and_names_them(client: AsyncOpenAI, library: Library) -> None:
    answer = await client.chat.completions.create(
        model="extractive",
        messages=[{"role": "user", "content": "How long does sourdough bread rest?"}],
        extra_body={"collections": [library.collection]},
    )
    assert "nine hours" in (answer.choices[0].message.content or "")
    citations = (answer.model_extra or {})["citations"]
    assert {one["document"]["name"] for one in citations} == {"bakery.md"}


async def test_models_are_listed_with_the_default_first(client: AsyncOpenAI) -> None:
    models = [model.id async for model in client.models.list()]
    assert models[0] == QUICK_ID
    assert {"extractive", TWO_SECONDS.id} <= set(models)
    assert (await client.models.retrieve("extractive")).owned_by == "parley"


async def test_a_wrong_key_is_an_authentication_error(client: AsyncOpenAI) -> None:
    stranger = client.with_options(api_key="pk_wrong")
    with pytest.raises(openai.AuthenticationError) as caught:
        await stranger.models.list()
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        await stranger.chat.completions.create(model=QUICK_ID, messages=[{"role": "user", "content": "Hi"}])


async def test_an_unknown_model_is_not_found(client: AsyncOpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(
                model="gpt-unknown", messages=[{"role": "user", "content": "Hi"}], stream=stream
            )
        assert caught.value.code == "model_not_found"
        assert caught.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-unknown")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"temperature": 9}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 3}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "two words"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "messages"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"max_tokens": 10_000_000}, "max_tokens"),
    ],
)
async def test_parameters_that_cannot_be_met_are_a_bad_request_that_names_the_field(
    client: AsyncOpenAI, body: dict[str, object], field: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model=QUICK_ID, messages=[{"role": "user", "content": "Hi"}], extra_body=body
        )
    assert caught.value.param is not None
    assert caught.value.param.split(".")[0] == field
    assert caught.value.code == "invalid_request"


async def test_embeddings_are_the_models_vectors(client: AsyncOpenAI) -> None:
    texts = ["The cat sleeps.", "A cat is asleep.", "Bread is baked in an oven."]
    found = await client.embeddings.create(model="all-MiniLM-L6-v2", input=texts)
    vectors = np.array([one.embedding for one in found.data], np.float32)
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.7
    assert likeness[0, 2] < 0.3
