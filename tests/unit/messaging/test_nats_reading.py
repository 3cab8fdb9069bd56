"""What a publisher writes that nats-py cannot read makes no service deaf."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from uuid import uuid4

import nats
import pytest
from parley_contracts import subjects
from parley_contracts.health import HealthQuestion, ServiceHealth
from parley_messaging.bus import Delivery
from parley_messaging.nats_bus import NatsBus
from parley_messaging.nats_reading import make_ours
from parley_messaging.streams import TURN_EVENTS

pytestmark = pytest.mark.nats

SUBJECT = subjects.service_health("reading")
LAST = subjects.service_health("last")
UNREADABLE = {
    "a subject that is no text": b"PUB %b\xff 2\r\n{}\r\n",
    "an answer wanted where no text is": b"PUB %b _INBOX.\xff 2\r\n{}\r\n",
    "headers without their first line": b"HPUB %b 2 4\r\n\r\n{}\r\n",
    "a status that is no text": b"HPUB %b 18 20\r\nNATS/1.0 \xff\xff\xff x\r\n\r\n{}\r\n",
    "a status whose words are no text": b"HPUB %b 19 21\r\nNATS/1.0 503 \xff\xff\r\n\r\n{}\r\n",
}


def say(url: str, said: Sequence[bytes]) -> None:
    """Publish protocol lines as they stand, and return when the server has taken them."""
    host, port = url.removeprefix("nats://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        wire.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n' + b"".join(said) + b"PING\r\n")
        heard = b""
        while b"PONG" not in heard:
            piece = wire.recv(4096)
            assert piece, heard
            heard += piece


@pytest.mark.parametrize("said", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_read_is_dropped_and_the_next_message_is_heard(
    nats_url: str, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(delivery: Delivery) -> None:
        heard.put_nowait(delivery.data)

    async def answer(_: HealthQuestion) -> ServiceHealth:
        return ServiceHealth(service="reading", instance="1", is_ready=True, version="1", checks={})

    bus = NatsBus(nats_url, name="reading", grace_s=1)
    bus.answer(SUBJECT, HealthQuestion, answer)
    await bus.start()
    try:
        await bus.subscribe(subjects.ALL_HEALTH, hear)
        await bus.connection.flush()
        await asyncio.to_thread(
            say, nats_url, [said.replace(b"%b", SUBJECT.encode()), f"PUB {LAST} 4\r\nlast\r\n".encode()]
        )
        async with asyncio.timeout(20):
            while await heard.get() != b"last":
                continue
        found = await bus.request(SUBJECT, HealthQuestion(), ServiceHealth)
        assert found.is_ready
        assert bus.reconnects == 0
        assert [one.message for one in caplog.records if one.levelno >= logging.ERROR] == []
    finally:
        await bus.close()


@pytest.mark.parametrize("said", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_read_is_counted_once(nats_url: str, said: bytes) -> None:
    connection = await nats.connect(nats_url)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves arguments untyped
    make_ours(connection)
    try:
        heard = await connection.subscribe(SUBJECT)  # pyright: ignore[reportUnknownMemberType] - see above
        await heard.unsubscribe(limit=2)
        await connection.flush()
        before = connection.stats["in_msgs"]
        lines = [said.replace(b"%b", SUBJECT.encode()), f"PUB {SUBJECT} 4\r\nlast\r\n".encode()]
        await asyncio.to_thread(say, nats_url, lines)
        is_elsewhere = b"%b\xff" in said
        if not is_elsewhere:
            assert (await heard.next_msg(timeout=5)).data == b"{}"
        assert (await heard.next_msg(timeout=5)).data == b"last"
        assert connection.stats["in_msgs"] - before == (1 if is_elsewhere else 2)
    finally:
        await connection.close()


STORED = {
    "the status of nobody listening": b"NATS/1.0 503\r\n\r\n",
    "the status of nothing found": b"NATS/1.0 404 Message Not Found\r\n\r\n",
    "a status that is no text": b"NATS/1.0 \xff\xff\xff x\r\n\r\n",
    "a line without a name": b"NATS/1.0\r\n: nameless\r\n\r\n",
    "a line that is none": b"NATS/1.0\r\nno colon\r\n\r\n",
    "another protocol": b"HTTP/1.1 200 OK\r\n\r\n",
    "a number of its own": b"NATS/1.0 503\r\nNats-Sequence: 1\r\n\r\n",
}


@pytest.mark.parametrize("headers", STORED.values(), ids=STORED)
async def test_a_stored_message_is_read_whatever_its_publisher_has_written_before_it(
    nats_url: str, headers: bytes
) -> None:
    subject = subjects.turn_events("home", uuid4().hex)
    bus = NatsBus(nats_url, name="reading", grace_s=1)
    await bus.start()
    try:
        before = await bus.store(subject, b"before")
        sizes = f"{len(headers)} {len(headers) + 4}".encode()
        said = b"HPUB %b %b\r\n%bnone\r\n" % (subject.encode(), sizes, headers)
        await asyncio.to_thread(say, nats_url, [said])
        expected = (before.stream_seq + 1, subject, b"none")
        last = await bus.last_stored(TURN_EVENTS, subject)
        found = await bus.next_stored(TURN_EVENTS, subject, before.stream_seq + 1)
        assert last is not None
        assert found is not None
        assert (last.stream_seq, last.subject, last.data) == expected
        assert (found.stream_seq, found.subject, found.data) == expected
        assert await bus.next_stored(TURN_EVENTS, subject, before.stream_seq + 2) is None
    finally:
        await bus.close()
