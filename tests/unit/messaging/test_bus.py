"""What every bus promises, on the memory bus and on a real nats-server."""

import asyncio
from collections import Counter
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.turns import HoldAnswer, HoldQuestion, PenRole
from parley_messaging.bus import (
    AlreadyStoredError,
    Bus,
    Delivery,
    OnDelivery,
    QueuedJob,
    QueueFullError,
    StoreAck,
)
from parley_messaging.message_headers import now_ms
from parley_messaging.queues import FETCH_S, TURNS, WorkQueue, llm_jobs
from parley_messaging.streams import TURN_EVENTS, TURN_PEN

WAIT_S = 5.0


def embeddings(dimensions: int = 2) -> Embeddings:
    return Embeddings(model="m", engine="e", dimensions=dimensions, vectors=b"\x00" * 8)


async def fetch_one(bus: Bus, queue: WorkQueue, wait_s: float = WAIT_S) -> QueuedJob:
    source = await bus.open_jobs(queue)
    async with asyncio.timeout(wait_s + 5):
        while (job := await source.fetch(FETCH_S)) is None:
            continue
    await source.close()
    return job


async def test_a_request_is_answered_with_the_handlers_reply(bus: Bus) -> None:
    async def embed(request: Embed) -> Embeddings:
        return embeddings(len(request.texts))

    bus.answer(subjects.NPU_EMBED, Embed, embed, group="npu")
    await bus.start()
    reply = await bus.request(subjects.NPU_EMBED, Embed(texts=("a", "b", "c")), Embeddings)
    assert reply == embeddings(3)


async def test_a_request_nobody_answers_is_unavailable(bus: Bus) -> None:
    await bus.start()
    with pytest.raises(ParleyError) as caught:
        await bus.request(subjects.BROWSER_READ, Embed(texts=("a",)), Embeddings)
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert caught.value.retryable


async def test_an_error_of_the_handler_reaches_the_caller_as_it_was(bus: Bus) -> None:
    async def refuse(request: Embed) -> Embeddings:
        raise ParleyError(ErrorCode.TOO_LARGE, "That is too much.", field="texts")

    bus.answer(subjects.NPU_EMBED, Embed, refuse)
    await bus.start()
    with pytest.raises(ParleyError) as caught:
        await bus.request(subjects.NPU_EMBED, Embed(texts=("a",)), Embeddings)
    assert (caught.value.code, caught.value.field) == (ErrorCode.TOO_LARGE, "texts")


async def test_an_unexpected_exception_is_internal_and_keeps_its_text_inside(bus: Bus) -> None:
    async def fail(request: Embed) -> Embeddings:
        raise RuntimeError("password=hunter2")

    bus.answer(subjects.NPU_EMBED, Embed, fail)
    await bus.start()
    with pytest.raises(ParleyError) as caught:
        await bus.request(subjects.NPU_EMBED, Embed(texts=("a",)), Embeddings)
    assert caught.value.code is ErrorCode.INTERNAL
    assert "hunter2" not in caught.value.message


async def test_a_body_that_fails_validation_is_answered_with_the_field(bus: Bus) -> None:
    async def embed(request: Embed) -> Embeddings:
        return embeddings()

    bus.answer(subjects.NPU_EMBED, Embed, embed)
    await bus.start()
    with pytest.raises(ParleyError) as caught:
        await bus.request(subjects.NPU_EMBED, HoldQuestion(role=PenRole.RUNNER), Embeddings)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert caught.value.field in {"type", "texts"}


async def test_a_handler_is_stopped_when_its_caller_stops_waiting(bus: Bus) -> None:
    stopped = asyncio.Event()

    async def never(request: Embed) -> Embeddings:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return embeddings()

    bus.answer(subjects.NPU_EMBED, Embed, never)
    await bus.start()
    with pytest.raises(ParleyError) as caught:
        await bus.request(subjects.NPU_EMBED, Embed(texts=("a",)), Embeddings, timeout_s=0.2)
    assert caught.value.code is ErrorCode.TIMEOUT
    async with asyncio.timeout(WAIT_S):
        await stopped.wait()


async def test_more_requests_than_run_and_wait_are_refused_as_overloaded(bus: Bus) -> None:
    release = asyncio.Event()

    async def slow(request: Embed) -> Embeddings:
        await release.wait()
        return embeddings()

    bus.answer(subjects.NPU_EMBED, Embed, slow, concurrency=1, waiting=1)
    await bus.start()
    asked = [
        asyncio.create_task(bus.request(subjects.NPU_EMBED, Embed(texts=("a",)), Embeddings))
        for _ in range(3)
    ]
    refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=WAIT_S)
    release.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    errors = [found for found in results if isinstance(found, ParleyError)]
    assert len(refused) == 1
    assert [error.code for error in errors] == [ErrorCode.OVERLOADED]


async def test_requests_that_have_arrived_are_answered_before_answering_stops(bus: Bus) -> None:
    begun = asyncio.Event()

    async def slow(request: Embed) -> Embeddings:
        begun.set()
        await asyncio.sleep(0.05)
        return embeddings()

    bus.answer(subjects.NPU_EMBED, Embed, slow)
    await bus.start()
    asked = asyncio.create_task(bus.request(subjects.NPU_EMBED, Embed(texts=("a",)), Embeddings))
    await begun.wait()
    await bus.stop_answering()
    assert await asked == embeddings()


async def test_only_the_first_store_on_a_subject_wins(bus: Bus) -> None:
    await bus.start()
    slot = subjects.pen_slot(uuid4().hex, 1)
    results = await asyncio.gather(
        *(bus.store(slot, str(number).encode(), is_first=True) for number in range(20)),
        return_exceptions=True,
    )
    winners = [found for found in results if isinstance(found, StoreAck)]
    assert len(winners) == 1
    assert all(isinstance(found, AlreadyStoredError) for found in results if found not in winners)
    stored = await bus.last_stored(TURN_PEN, slot)
    assert stored is not None
    assert stored.stream_seq == winners[0].stream_seq


async def test_stored_messages_of_one_subject_are_read_back_in_order(bus: Bus) -> None:
    await bus.start()
    mine, other = (subjects.turn_events("home", uuid4().hex) for _ in range(2))
    for number in range(5):
        await bus.store(mine, b"%d" % number)
        await bus.store(other, b"other")
    found: list[bytes] = []
    position = 1
    while (stored := await bus.next_stored(TURN_EVENTS, mine, position)) is not None:
        found.append(stored.data)
        position = stored.stream_seq + 1
    assert found == [b"0", b"1", b"2", b"3", b"4"]
    assert await bus.last_stored(TURN_EVENTS, subjects.turn_events("home", "nobody")) is None


async def test_a_captured_publish_is_heard_live_and_acknowledged_to_its_inbox(bus: Bus) -> None:
    await bus.start()
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def hear(delivery: Delivery) -> None:
        await heard.put((delivery.subject, delivery.data))

    inbox, subject = f"_INBOX.{uuid4().hex}", subjects.turn_events("home", uuid4().hex)
    await bus.subscribe(subject, hear)
    await bus.subscribe(inbox, hear)
    await bus.publish(subject, b"frame", reply=inbox)
    async with asyncio.timeout(WAIT_S):
        found = dict([await heard.get(), await heard.get()])
    assert found[subject] == b"frame"
    assert found[inbox].startswith(b'{"stream"')


async def test_an_acknowledged_job_is_gone(bus: Bus) -> None:
    await bus.start()
    queue = llm_jobs(f"pool-{uuid4().hex}")
    await bus.store(queue.subject, b"job", headers={"Parley-Turn-Id": "t1"})
    assert (await bus.queue_state(queue)).waiting == 1
    job = await fetch_one(bus, queue)
    assert (job.data, job.deliveries, job.headers["Parley-Turn-Id"]) == (b"job", 1, "t1")
    await job.ack()
    source = await bus.open_jobs(queue)
    assert await source.fetch(0.2) is None
    await source.close()


async def test_a_released_job_is_delivered_again_and_says_so(bus: Bus) -> None:
    await bus.start()
    queue = llm_jobs(f"pool-{uuid4().hex}")
    await bus.store(queue.subject, b"job")
    first = await fetch_one(bus, queue)
    await first.release(0.05)
    second = await fetch_one(bus, queue)
    assert (second.data, second.deliveries) == (b"job", 2)
    await second.ack()


async def test_objects_are_kept_until_deleted(bus: Bus) -> None:
    await bus.start()
    key = uuid4().hex
    await bus.objects.put(key, b"x" * 300_000)
    assert await bus.objects.get(key) == b"x" * 300_000
    stored = await bus.objects.open(key)
    pieces = [piece async for piece in stored.pieces()]
    assert (stored.size_bytes, b"".join(pieces)) == (300_000, b"x" * 300_000)
    assert len(pieces) > 1
    with SpooledTemporaryFile(max_size=1000) as file:
        file.write(b"y" * 300_000)
        file.seek(0)
        await bus.objects.put(key, cast(BinaryIO, file))
    assert await bus.objects.get(key) == b"y" * 300_000
    await bus.objects.delete(key)
    await bus.objects.delete(key)
    with pytest.raises(ParleyError) as caught:
        await bus.objects.get(key)
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_a_domain_event_is_published_once_for_each_message_id(bus: Bus) -> None:
    await bus.start()
    message_id = uuid4().hex
    for _ in range(3):
        await bus.publish_event(
            subjects.CONVERSATION_TURN_COMPLETED, HoldAnswer(holder=message_id), message_id=message_id
        )
    stored = await bus.last_stored("DOMAIN_EVENTS", subjects.CONVERSATION_TURN_COMPLETED)
    assert stored is not None
    first = await bus.next_stored("DOMAIN_EVENTS", subjects.CONVERSATION_TURN_COMPLETED, stored.stream_seq)
    assert first == stored
    assert HoldAnswer.model_validate_json(stored.data).holder == message_id


def new_turn() -> str:
    return subjects.turn_start(uuid4().hex)


async def store_when_there_is_room(bus: Bus) -> None:
    """Store a job; an acknowledgement that makes room is not itself acknowledged."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await bus.store(new_turn(), b"{}", is_first=True)
                return
            except QueueFullError:
                continue


async def test_a_bounded_queue_refuses_what_it_has_no_room_for_until_a_job_is_done(bus: Bus) -> None:
    await bus.start()
    state = await bus.queue_state(TURNS)
    standing = state.waiting + state.running
    limit = 2 * standing + 2
    assert await bus.bound_queue(TURNS, limit)
    try:
        for _ in range(limit - standing):
            await bus.store(new_turn(), b"{}", is_first=True)
        with pytest.raises(QueueFullError):
            await bus.store(new_turn(), b"{}", is_first=True)
        job = await fetch_one(bus, TURNS)
        await job.ack()
        await store_when_there_is_room(bus)
        assert await bus.bound_queue(TURNS, limit + 1)
        await bus.store(new_turn(), b"{}", is_first=True)
    finally:
        assert await bus.bound_queue(TURNS, 100_000)


async def test_a_limit_is_not_lowered_over_the_heads_of_jobs_that_stand(bus: Bus) -> None:
    await bus.start()
    acks = [await bus.store(new_turn(), b"{}") for _ in range(4)]
    await bus.bound_queue(TURNS, 1)
    found = await bus.queue_state(TURNS)
    await bus.bound_queue(TURNS, 100_000)
    assert found.waiting + found.running >= len(acks)


async def test_a_stream_says_when_it_was_made(bus: Bus) -> None:
    await bus.start()
    created_ms = await bus.stream_created_ms(TURNS.stream)
    assert 0 < created_ms <= now_ms()
    assert await bus.stream_created_ms(TURNS.stream) == created_ms


async def test_the_state_of_a_queue_says_what_waits_and_what_is_worked_on(bus: Bus) -> None:
    await bus.start()
    before = await bus.queue_state(TURNS)
    acks = [await bus.store(new_turn(), b"{}") for _ in range(3)]
    state = await bus.queue_state(TURNS)
    assert (state.waiting, state.running) == (before.waiting + 3, before.running)
    for waiting in range(state.waiting, 0, -1):
        job = await fetch_one(bus, TURNS)
        assert (await bus.queue_state(TURNS)).waiting == waiting - 1
        await job.ack()
    assert (await bus.queue_state(TURNS)).last_delivered == acks[-1].stream_seq


async def test_of_those_who_hear_in_one_group_each_message_reaches_one(bus: Bus) -> None:
    heard: list[str] = []
    is_heard = asyncio.Event()

    def hearing(name: str) -> OnDelivery:
        async def hear(_: Delivery) -> None:
            heard.append(name)
            is_heard.set()

        return hear

    await bus.start()
    for name, group in (("rag", "rag"), ("rag", "rag"), ("llm", "llm"), ("all", ""), ("all", "")):
        await bus.subscribe(subjects.TOOL_DESCRIBE, hearing(name), group=group)
    await bus.publish(subjects.TOOL_DESCRIBE, b"{}")
    async with asyncio.timeout(WAIT_S):
        while len(heard) < 4:
            is_heard.clear()
            await is_heard.wait()
    # What else there is would come before the next message.
    await bus.publish(subjects.TOOL_DESCRIBE, b"{}")
    async with asyncio.timeout(WAIT_S):
        while len(heard) < 8:
            is_heard.clear()
            await is_heard.wait()
    assert Counter(heard) == {"rag": 2, "llm": 2, "all": 4}
