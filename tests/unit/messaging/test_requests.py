"""Whatever goes wrong with a request, its caller is told so by a ParleyError."""

from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Embed, Embeddings
from parley_messaging.bus import Bus, Delivery

QUESTION = Embed(texts=("a",))


def new_subject() -> str:
    return f"{subjects.PREFIX}.test.{uuid4().hex}"


async def code_of_failure(bus: Bus, subject: str, question: Embed = QUESTION) -> ErrorCode:
    with pytest.raises(ParleyError) as caught:
        await bus.request(subject, question, Embeddings)
    return caught.value.code


@pytest.mark.parametrize("answer", [b"", b"nonsense", b'{"model":"m"}'])
async def test_a_reply_that_cannot_be_read_is_an_upstream_failure(bus: Bus, answer: bytes) -> None:
    async def reply(delivery: Delivery) -> None:
        await bus.publish(delivery.reply, answer)

    await bus.start()
    subject = new_subject()
    await bus.subscribe(subject, reply)
    assert await code_of_failure(bus, subject) is ErrorCode.UPSTREAM_FAILED


async def test_a_question_larger_than_a_message_is_too_large(bus: Bus) -> None:
    await bus.start()
    question = Embed(texts=("x" * (bus.max_payload_bytes + 1),))
    assert await code_of_failure(bus, new_subject(), question) is ErrorCode.TOO_LARGE


async def test_an_answer_larger_than_a_message_is_told_at_once(bus: Bus) -> None:
    async def embed(_: Embed) -> Embeddings:
        return Embeddings(model="m", engine="e", dimensions=1, vectors=b"\x00" * bus.max_payload_bytes)

    subject = new_subject()
    bus.answer(subject, Embed, embed)
    await bus.start()
    assert await code_of_failure(bus, subject) is ErrorCode.TOO_LARGE


async def test_a_subscriber_that_fails_on_one_message_hears_the_next(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer_the_second(delivery: Delivery) -> None:
        if delivery.data == b"first":
            raise RuntimeError("the first one")
        reply = Embeddings(model="m", engine="e", dimensions=1, vectors=b"\x00" * 4)
        await bus.publish(delivery.reply, reply.model_dump_json().encode())

    await bus.start()
    subject = new_subject()
    await bus.subscribe(subject, answer_the_second)
    await bus.publish(subject, b"first")
    assert (await bus.request(subject, QUESTION, Embeddings)).dimensions == 1
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["the first one"]
