"""Exceptions on the wire and back, and what happens to requests that nobody waits for any more."""

import asyncio

import pytest
from parley_contracts import headers
from parley_contracts.errors import ErrorBody, ErrorCode, ParleyError
from parley_contracts.npu import Embed, Embeddings
from parley_messaging.bus import Handler
from parley_messaging.error_boundary import Answering, WireReply, error_reply, raise_if_error, read_reply
from parley_messaging.message_headers import now_ms

REQUEST = Embed(texts=("a",)).model_dump_json().encode()


def embeddings() -> Embeddings:
    return Embeddings(model="m", engine="e", dimensions=2, vectors=b"\x00" * 8)


def answering(handler: Handler[Embed], max_reply_bytes: int = 1_000_000) -> Answering[Embed]:
    return Answering(Embed, handler, concurrency=1, waiting=0, max_reply_bytes=lambda: max_reply_bytes)


def code_of(reply: WireReply) -> ErrorCode:
    return ErrorBody.model_validate_json(reply.data).code


async def embed(_: Embed) -> Embeddings:
    return embeddings()


async def never(_: Embed) -> Embeddings:
    await asyncio.Event().wait()
    return embeddings()


async def test_a_handler_has_the_time_that_the_deadline_in_the_headers_leaves() -> None:
    reply = await answering(never).answer(REQUEST, {headers.DEADLINE: str(now_ms() + 50)})
    assert code_of(reply) is ErrorCode.TIMEOUT


async def test_a_request_beyond_those_that_run_and_wait_is_refused() -> None:
    busy = answering(never)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(busy.answer(REQUEST, {}))
        await asyncio.sleep(0)
        assert code_of(await busy.answer(REQUEST, {})) is ErrorCode.OVERLOADED
        first.cancel()


@pytest.mark.parametrize("deadline", ["soon", "-5", "9" * 5000, "²"])
async def test_a_deadline_that_is_no_time_is_no_deadline(deadline: str) -> None:
    reply = await answering(embed).answer(REQUEST, {headers.DEADLINE: deadline})
    assert reply.headers == {}
    assert Embeddings.model_validate_json(reply.data) == embeddings()


async def test_room_is_given_back_after_an_error() -> None:
    async def fail(_: Embed) -> Embeddings:
        raise ParleyError(ErrorCode.CONFLICT, "no")

    failing = answering(fail)
    codes = [code_of(await failing.answer(REQUEST, {})) for _ in range(3)]
    assert codes == [ErrorCode.CONFLICT] * 3


async def test_an_answer_larger_than_a_message_is_an_error_and_not_silence() -> None:
    reply = await answering(embed, max_reply_bytes=10).answer(REQUEST, {})
    assert code_of(reply) is ErrorCode.TOO_LARGE


def test_the_header_text_of_an_error_is_one_line_of_bounded_length() -> None:
    error = ParleyError(ErrorCode.CONFLICT, "one\r\nNats-Injected: two\n\tthree " + "x" * 500)
    reply = error_reply(error.body())
    text = reply.headers[headers.SERVICE_ERROR]
    assert text.startswith("one Nats-Injected: two three ")
    assert len(text) == 200
    assert text.splitlines() == [text]
    assert reply.headers[headers.SERVICE_ERROR_CODE] == "409"


def test_an_error_travels_there_and_back_as_it_was() -> None:
    sent = ParleyError(ErrorCode.OVERLOADED, "full\nto the brim", field="texts")
    reply = error_reply(sent.body())
    with pytest.raises(ParleyError) as caught:
        raise_if_error(reply.headers, reply.data)
    assert caught.value.body() == sent.body()


def test_an_error_reply_whose_body_cannot_be_read_keeps_its_header_text() -> None:
    with pytest.raises(ParleyError, match="it is broken") as caught:
        raise_if_error({headers.SERVICE_ERROR_CODE: "500", headers.SERVICE_ERROR: "it is broken"}, b"?")
    assert caught.value.code is ErrorCode.UPSTREAM_FAILED


@pytest.mark.parametrize("data", [b"", b"nonsense", b"{}", b"\xff\xfe"])
def test_a_reply_that_cannot_be_read_is_an_upstream_failure(data: bytes) -> None:
    with pytest.raises(ParleyError) as caught:
        read_reply(Embeddings, None, data)
    assert caught.value.code is ErrorCode.UPSTREAM_FAILED
