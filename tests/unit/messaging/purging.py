"""Takes messages out of a stream, as its limits do in time."""

from parley_messaging.bus import Bus
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.nats_bus import NatsBus


async def purge(bus: Bus, stream: str, subject: str, *, keep: int = 0) -> None:
    """Remove all but the last `keep` messages of a subject."""
    if isinstance(bus, NatsBus):
        await bus.connection.jetstream().purge_stream(stream, subject=subject, keep=keep or None)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves arguments untyped
        return
    assert isinstance(bus, MemoryBus)
    messages = bus._streams[stream].messages  # pyright: ignore[reportPrivateUsage] - the memory bus forgets nothing by itself
    found = [message for message in messages if message.subject == subject]
    for message in found[: len(found) - keep]:
        messages.remove(message)
