"""Images and files by the official `openai` client, against a gateway and the servers of models behind it."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.fakes.ollama_server import OllamaFake
from tests.fakes.openai_server import OpenAiFake
from tests.fakes.pictures import data_url, png
from tests.fakes.shown_images import digest
from tests.integration.paced import FIVE_SECONDS, QUICK
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

ALONE: dict[str, Any] = {"collections": []}
MODEL = "openai/plan:eyes"
LARGE = png(7) + bytes(5 * 1024 * 1024)
"""Larger than a turn on the bus may be."""


@pytest_asyncio.fixture(loop_scope="session")
async def client(stack: Stack) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{stack.url()}/v1", api_key=stack.owner_key, max_retries=0) as client:
        yield client


def asked(*urls: str) -> Any:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": "user", "content": [{"type": "text", "text": "What is it?"}, *images]}


async def test_a_model_is_shown_the_images_of_a_completion(
    client: AsyncOpenAI, openai_upstream: OpenAiFake
) -> None:
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=[
            asked(data_url(png(1))),
            {"role": "assistant", "content": "A dot."},
            asked(data_url(LARGE)),
        ],
        extra_body=ALONE,
    )
    assert answer.choices[0].message.content == f"I see 2: {digest(png(1))} {digest(LARGE)}."
    sent = openai_upstream.requests[-1]["messages"]
    assert sent[-1]["content"][0] == {"type": "text", "text": "What is it?"}
    assert sent[1]["content"][1]["image_url"]["url"] == data_url(png(1))


async def test_a_streamed_completion_and_a_response_show_images_too(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=[asked(data_url(png(2)))], stream=True, extra_body=ALONE
    )
    text = "".join([one.delta.content or "" async for chunk in stream for one in chunk.choices])
    assert text == f"I see 1: {digest(png(2))}."
    response = await client.responses.create(
        model=MODEL,
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": data_url(png(3)), "detail": "auto"},
                ],
            }
        ],
        extra_body=ALONE,
    )
    assert response.output_text == f"I see 1: {digest(png(3))}."


async def test_a_file_is_quoted_to_a_model_that_sees_nothing(client: AsyncOpenAI, ollama: OllamaFake) -> None:
    await client.chat.completions.create(
        model=f"ollama/{QUICK}",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What does it say?"},
                    {
                        "type": "file",
                        "file": {
                            "filename": "notes.txt",
                            "file_data": data_url(b"The heron comes at six.", "text/plain"),
                        },
                    },
                ],
            }
        ],
        extra_body=ALONE,
    )
    said = ollama.requests[-1]["messages"][-1]["content"]
    assert "'notes.txt'" in said
    assert "The heron comes at six." in said
    assert said.endswith("What does it say?")


@pytest.mark.parametrize(
    ("model", "url", "code", "param"),
    [
        (f"ollama/{QUICK}", data_url(png(1)), "invalid_request", "messages"),
        (MODEL, "https://example.org/cat.png", "invalid_request", "messages.0.content.1.image_url"),
    ],
    ids=["blind", "address"],
)
async def test_what_cannot_be_shown_is_a_bad_request_that_names_the_field(
    client: AsyncOpenAI, model: str, url: str, code: str, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model=model, messages=[asked(url)], extra_body=ALONE)
    assert (caught.value.code, caught.value.param) == (code, param)


async def test_what_stands_in_a_file_is_in_no_stream_no_database_and_no_log(
    stack: Stack, ollama: OllamaFake
) -> None:
    content = b"planted-in-a-file-b7c4 " * 50
    async with stack.http() as http, stack.chat() as chat:
        made = (await http.post("/api/attachments", files={"file": ("notes.txt", content)})).json()
        attachments = [made["attachment"]["id"]]
        turn = await chat.ask("Read it.", model=f"ollama/{QUICK}", collections=[], attachments=attachments)
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert "planted-in-a-file-b7c4" in ollama.requests[-1]["messages"][-1]["content"]
    assert await asyncio.to_thread(_holding, stack.folder, b"planted-in-a-file-b7c4") == []


async def test_the_worker_that_takes_over_reads_the_file_again(
    stack: Stack, openai_upstream: OpenAiFake
) -> None:
    async with stack.http() as http, stack.chat() as chat:
        made = (await http.post("/api/attachments", files={"file": ("n.txt", b"Six herons.")})).json()
        turn = await chat.start(
            "Survive.",
            model=f"openai/{FIVE_SECONDS.name}",
            collections=[],
            attachments=[made["attachment"]["id"]],
        )
        await chat.until(lambda: turn.text.count(" ") >= FIVE_SECONDS.count // 4)
        worker = stack.processes["llm"]
        worker.signal(signal.SIGKILL)
        await worker.ended()
        await stack.start("llm")
        await chat.until(lambda: turn.is_over)
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert turn.text == FIVE_SECONDS.answer_begun_as(turn.text)
    first, second = list(openai_upstream.requests)[-2:]
    assert "Six herons." in first["messages"][-1]["content"]
    # The last message of the second is the answer so far.
    assert second["messages"][-2] == first["messages"][-1]


def _holding(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


async def test_an_attachment_is_sent_again_in_its_conversation_and_goes_with_it(stack: Stack) -> None:
    async with stack.http() as http, stack.chat() as chat:
        made = (await http.post("/api/attachments", files={"file": ("cat.png", png(4))})).json()["attachment"]
        turn = await chat.ask("What is it?", model=MODEL, collections=[], attachments=[made["id"]])
        assert turn.text == f"I see 1: {digest(png(4))}."
        again = await chat.ask("And now?", model=MODEL, collections=[], conversation_id=turn.conversation_id)
        assert again.text == f"I see 1: {digest(png(4))}."
        path = f"/api/conversations/{turn.conversation_id}"
        messages = (await http.get(path)).json()["messages"]
        assert [one["name"] for one in messages[0]["attachments"]] == ["cat.png"]
        content = await http.get(f"/api/attachments/{made['id']}/content")
        assert content.content == png(4)
        assert (await http.delete(path)).status_code == 200
        assert (await http.get(f"/api/attachments/{made['id']}")).status_code == 404
