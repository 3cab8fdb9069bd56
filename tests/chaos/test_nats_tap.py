"""The tap reads NATS however it is cut into pieces, and dies exactly where it is told to."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError
from parley_contracts import subjects

from tests.chaos.nats_protocol import Operation, OperationReader
from tests.chaos.nats_tap import open_tap
from tests.integration.waiting import eventually

WIRE = (
    b'INFO {"max_payload":1048576}\r\n'
    b"PUB one 5\r\nab\r\nc\r\n"
    b"PUB two reply.to 0\r\n\r\n"
    b"HPUB three 12 14\r\nNATS/1.0\r\n\r\nxy\r\n"
    b"MSG four 1 2\r\nok\r\n"
    b"HMSG five 2 inbox 16 16\r\nNATS/1.0 404\r\n\r\n\r\n"
    b"PING\r\n"
)
READ = [
    ("INFO", "", "", b""),
    ("PUB", "one", "", b"ab\r\nc"),
    ("PUB", "two", "reply.to", b""),
    ("HPUB", "three", "", b"xy"),
    ("MSG", "four", "", b"ok"),
    ("HMSG", "five", "inbox", b""),
    ("PING", "", "", b""),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(WIRE)])
def test_operations_are_read_however_they_are_cut(size: int) -> None:
    reader = OperationReader()
    found: list[Operation] = []
    for place in range(0, len(WIRE), size):
        found += reader.feed(WIRE[place : place + size])
    assert [(one.name, one.subject, one.reply, one.data) for one in found] == READ
    assert b"".join(one.raw for one in found) == WIRE


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def heard_of(listener: Client, victim: Client, amount: int) -> list[str]:
    """Return what a listener hears of that many messages, and of the one that says that they are over."""
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.data.decode())

    async def is_heard(data: str) -> None:
        """Publish, and wait until it is heard: only then is what came before it heard as well."""

        async def is_so() -> bool:
            return data in heard

        await listener.publish("tapped", data.encode())
        await eventually(is_so)

    await listener.subscribe("tapped", cb=hear)
    await is_heard("ready")
    for number in range(1, amount + 1):
        await victim.publish("tapped", str(number).encode())

    async def is_cut() -> bool:
        return not victim.is_connected

    await eventually(is_cut)
    await is_heard("over")
    return heard


@pytest.mark.nats
@pytest.mark.parametrize(("withholds", "heard"), [(False, ["1", "2", "3"]), (True, ["1", "2"])])
async def test_nothing_passes_after_the_message_at_which_the_process_dies(
    nats_url: str, withholds: bool, heard: list[str]
) -> None:
    deaths: list[str] = []
    async with open_tap(port_of(nats_url)) as tap:
        victim = await nats.connect(tap.url, allow_reconnect=False)
        listener = await nats.connect(nats_url)
        try:
            tap.arm(3, lambda: deaths.append("dead"), withholds=withholds)
            assert await heard_of(listener, victim, 6) == ["ready", *heard, "over"]
        finally:
            await listener.close()
            await victim.close()
    assert deaths == ["dead"]
    assert tap.killed.is_set()


@pytest.mark.nats
async def test_pulls_heartbeats_health_and_housekeeping_are_no_messages_of_a_turn(nats_url: str) -> None:
    async with open_tap(port_of(nats_url)) as tap:
        victim = await nats.connect(tap.url)
        try:
            tap.arm(0, lambda: None)
            await victim.publish("$JS.API.CONSUMER.MSG.NEXT.NONE.none", b"{}", "_INBOX.pull")
            await victim.publish("$JS.ACK.NONE.none.1.1.1.1.0", b"+WPI")
            await victim.publish(subjects.service_health("llm"), b"{}", "_INBOX.health")
            await victim.jetstream().account_info()
            with pytest.raises(NotFoundError):
                await victim.jetstream().stream_info("NONE")
            await victim.publish("$JS.ACK.NONE.none.1.1.1.1.0", b"")
            await victim.flush()
            asked, answered, acknowledged = (one.subject for one in tap.counted)
            assert (asked, acknowledged) == ("$JS.API.INFO", "$JS.ACK.NONE.none.1.1.1.1.0")
            assert answered.startswith("_INBOX.")
        finally:
            await victim.close()
