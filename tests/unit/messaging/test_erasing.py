"""What is erased from streams and the object store is gone, also from the server's files."""

import asyncio
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.bus_permissions import BUCKET
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.stream_names import ORIGINALS
from parley_messaging.bus import Bus
from parley_messaging.erasing import erase_subject
from parley_messaging.nats_bus import NatsBus
from parley_messaging.queues import FETCH_S, TURNS
from parley_messaging.streams import TURN_EVENTS

HELD = pytest.mark.nats
CHUNKS = f"$O.{ORIGINALS}.C.*"


def planted() -> bytes:
    return f"nobody may find {uuid4().hex}".encode()


def found_in(folder: Path, text: bytes) -> list[str]:
    """Return the files under a folder that hold a text."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


async def test_messages_of_a_subject_are_erased_and_those_of_others_stay(bus: Bus) -> None:
    await bus.start()
    gone, kept = uuid4().hex, uuid4().hex
    for turn in (gone, kept, gone):
        await bus.store(subjects.turn_events("home", turn), b"{}")
    assert await erase_subject(bus, TURN_EVENTS, subjects.turn_events("home", gone)) == 2
    assert await bus.last_stored(TURN_EVENTS, subjects.turn_events("home", gone)) is None
    assert await bus.last_stored(TURN_EVENTS, subjects.turn_events("home", kept)) is not None


async def test_erasing_again_changes_nothing(bus: Bus) -> None:
    await bus.start()
    subject = subjects.turn_events("home", uuid4().hex)
    ack = await bus.store(subject, b"{}")
    assert await bus.eraser.erase(TURN_EVENTS, ack.stream_seq)
    assert not await bus.eraser.erase(TURN_EVENTS, ack.stream_seq)
    assert await erase_subject(bus, TURN_EVENTS, subject) == 0


async def test_an_object_is_fetched_into_a_file(bus: Bus) -> None:
    await bus.start()
    key, data = uuid4().hex, bytes(300_000)
    await bus.objects.put(key, data)
    file = BytesIO()
    await bus.objects.fetch(key, file)
    assert file.getvalue() == data
    await bus.objects.delete(key)
    with pytest.raises(ParleyError) as caught:
        await bus.objects.fetch(key, BytesIO())
    assert caught.value.code is ErrorCode.NOT_FOUND


@pytest.fixture
async def nats(nats_url: str) -> "NatsBus":
    return NatsBus(nats_url, name="test", grace_s=2)


@HELD
async def test_erased_messages_stand_in_no_file_of_the_server(nats: NatsBus, nats_store: Path) -> None:
    await nats.start()
    try:
        text, subject = planted(), subjects.turn_events("home", uuid4().hex)
        await nats.store(subject, text)
        assert found_in(nats_store, text)
        await erase_subject(nats, TURN_EVENTS, subject)
        assert not found_in(nats_store, text)
    finally:
        await nats.close()


@HELD
async def test_deleted_objects_stand_in_no_file_of_the_server(nats: NatsBus, nats_store: Path) -> None:
    await nats.start()
    try:
        text, key, other = planted(), uuid4().hex, uuid4().hex
        await nats.objects.put(other, b"stays")
        await nats.objects.put(key, text * 8000)
        assert found_in(nats_store, text)
        await nats.objects.delete(key)
        assert not found_in(nats_store, text)
        assert await nats.objects.get(other) == b"stays"
    finally:
        await nats.close()


async def chunks_in_store(nats: NatsBus) -> int:
    """Return how many chunks of objects there are, listed or not."""
    jetstream = nats.connection.jetstream()  # pyright: ignore[reportUnknownMemberType] - nats-py leaves arguments untyped
    info = await jetstream.stream_info(BUCKET, subjects_filter=CHUNKS)
    return sum((info.state.subjects or {}).values())


async def lose_a_chunk(nats: NatsBus, key: str) -> None:
    """Remove the first chunk of an object, as a delete that was broken off does."""
    jetstream = nats.connection.jetstream()  # pyright: ignore[reportUnknownMemberType] - see above
    info = await (await jetstream.object_store(ORIGINALS)).get_info(key)
    chunks = CHUNKS.replace("*", info.nuid or "")
    first = await jetstream.get_msg(BUCKET, seq=1, subject=chunks, next=True)
    assert await jetstream.delete_msg(BUCKET, first.seq or 0)


class StuckFile(BytesIO):
    """A file that stops in the middle until it may go on."""

    def __init__(self, data: bytes, stuck_at: int) -> None:
        super().__init__(data)
        self.stuck_at = stuck_at
        self.is_stuck, self.may_go_on = Event(), Event()

    def readinto(self, into: Any, /) -> int:
        if self.tell() >= self.stuck_at:
            self.is_stuck.set()
            self.may_go_on.wait(20)
        return super().readinto(into)


@HELD
async def test_a_put_that_is_cancelled_leaves_no_chunks(nats: NatsBus) -> None:
    await nats.start()
    key, file = uuid4().hex, StuckFile(bytes(600_000), stuck_at=400_000)
    try:
        before = await chunks_in_store(nats)
        putting = asyncio.create_task(nats.objects.put(key, file))
        assert await asyncio.to_thread(file.is_stuck.wait, 20)
        assert await chunks_in_store(nats) > before
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert await chunks_in_store(nats) == before
        with pytest.raises(ParleyError) as caught:
            await nats.objects.get(key)
        assert caught.value.code is ErrorCode.NOT_FOUND
    finally:
        file.may_go_on.set()
        await nats.close()


@HELD
async def test_an_object_that_lost_a_chunk_is_told_as_lost_and_is_deleted_whole(nats: NatsBus) -> None:
    await nats.start()
    try:
        key = uuid4().hex
        await nats.objects.put(key, bytes(400_000))
        before = await chunks_in_store(nats)
        await lose_a_chunk(nats, key)
        with pytest.raises(ParleyError) as caught:
            await nats.objects.get(key)
        assert (caught.value.code, caught.value.retryable) == (ErrorCode.INTERNAL, False)
        await nats.objects.delete(key)
        assert await chunks_in_store(nats) == before - 4
        with pytest.raises(ParleyError) as gone:
            await nats.objects.get(key)
        assert gone.value.code is ErrorCode.NOT_FOUND
    finally:
        await nats.close()


@HELD
async def test_a_job_that_is_done_leaves_the_files_of_its_queue_and_none_is_lost(
    nats: NatsBus, nats_store: Path
) -> None:
    await nats.start()
    try:
        text = planted()
        await nats.store(subjects.turn_start(uuid4().hex), text)
        waits = uuid4().hex
        await nats.store(subjects.turn_start(waits), b"waits")
        source = await nats.open_jobs(TURNS)
        for _ in range(2):
            job = await source.fetch(FETCH_S)
            assert job is not None
            if job.data == text:
                await job.ack()
            else:
                await job.release(0)
        assert found_in(nats_store, text)
        await nats.eraser.compact(TURNS.stream)
        assert not found_in(nats_store, text)
        standing = await source.fetch(FETCH_S)
        assert standing is not None
        assert standing.data == b"waits"
        await standing.ack()
        await nats.eraser.compact(TURNS.stream)
        await nats.store(subjects.turn_start(waits), b"later")
        later = await source.fetch(FETCH_S)
        assert later is not None
        assert later.data == b"later"
        await later.ack()
        await source.close()
    finally:
        await nats.close()
