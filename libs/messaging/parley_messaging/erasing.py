"""Overwrites messages of streams: what is purged or acknowledged stays in the server's files."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from parley_contracts.errors import ErrorCode, ParleyError

from parley_messaging.bus import Bus, StoredMessage


class QueueBounds(NamedTuple):
    """What is in the files of a work queue."""

    first_seq: int
    """Nothing older is; one more than `last_seq` when nothing is at all."""

    last_seq: int


class Eraser(Protocol):
    """Removes single messages for good."""

    async def erase(self, stream: str, stream_seq: int) -> bool:
        """Overwrite a message and remove it; False when it is gone already."""
        ...

    async def compact(self, queue_stream: str) -> QueueBounds:
        """Have what was acknowledged removed from the files of a work queue, as far as nothing waits there.

        Jobs that wait or are worked on stay, and with them perhaps what is acknowledged behind the first.
        """
        ...


async def erase_subject(bus: Bus, stream: str, subject: str) -> int:
    """Overwrite every message of a subject, which may hold wildcards; return how many there were.

    Raises:
        ParleyError: `unavailable` when the bus does not answer; what was removed until then stays so.
    """
    erased, message = 0, await bus.next_stored(stream, subject, 1)
    while message is not None:
        erased += await bus.eraser.erase(stream, message.stream_seq)
        message = await _behind(bus, stream, subject, message)
    return erased


async def _behind(bus: Bus, stream: str, subject: str, message: StoredMessage) -> StoredMessage | None:
    return await bus.next_stored(stream, subject, message.stream_seq + 1)


class NatsEraser:
    """By the API of JetStream, whose deletes of single messages overwrite them with random bytes."""

    def __init__(self, jetstream: Callable[[], JetStreamContext]) -> None:
        self._jetstream = jetstream

    async def erase(self, stream: str, stream_seq: int) -> bool:
        """Overwrite a message and remove it."""
        try:
            return bool(await self._jetstream().delete_msg(stream, stream_seq))
        except NotFoundError:
            return False
        except (TimeoutError, NatsError) as error:
            # A server answers this for a message that is gone, by another code in each of its versions.
            if "no message found" in str(error) or "sequence" in str(error):
                return False
            raise ParleyError(ErrorCode.UNAVAILABLE, "The bus is away.") from error

    async def compact(self, queue_stream: str) -> QueueBounds:
        """Purge up to the first message that is still there: what is below it is acknowledged already."""
        try:
            state: Any = (await self._jetstream().stream_info(queue_stream)).state
            standing_from = int(state.first_seq if state.messages else state.last_seq + 1)
            if standing_from > 1:
                await self._jetstream().purge_stream(queue_stream, seq=standing_from)
            return QueueBounds(standing_from, int(state.last_seq))
        except (TimeoutError, NatsError) as error:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The bus is away.") from error
