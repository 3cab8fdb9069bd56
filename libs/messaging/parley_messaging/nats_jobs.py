"""Jobs fetched from a JetStream work queue by pull, one at a time."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from parley_messaging.queues import WorkQueue

log = logging.getLogger("parley.messaging")

EXPIRY_S = 0.5
"""How much longer than the server a puller waits for word that there is no job."""

IDLE_S = 10.0
"""A consumer that is gone looks like an empty queue: one that stays empty so long is looked for."""


class NatsJob:
    """One delivery of a job."""

    def __init__(self, message: Msg) -> None:
        self._message = message
        self.subject = message.subject
        self.data = message.data
        self.headers: Mapping[str, str] = message.headers or {}
        self.deliveries = int(message.metadata.num_delivered or 1)
        self.stream_seq = int(message.metadata.sequence.stream)

    async def ack(self) -> None:
        """Remove the job from its queue."""
        await self._message.ack()

    async def release(self, delay_s: float) -> None:
        """Give it back, to be delivered again after `delay_s`."""
        await self._message.nak(delay=delay_s)

    async def in_progress(self) -> None:
        """Start the time in which it must be acknowledged anew."""
        await self._message.in_progress()


class NatsJobSource:
    """One puller of a work queue's durable consumer. Made by `open_source`.

    It asks the server itself, for nats-py takes three tasks and their turns of the loop to hand a job over.
    Source: https://docs.nats.io/reference/reference-protocols/nats_api_reference#fetching-from-a-pull-consumer
    """

    def __init__(self, connection: Client, queue: WorkQueue, look_again: Callable[[], None]) -> None:
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{queue.stream}.{queue.consumer}"
        self._look_again = look_again
        self.inbox = connection.new_inbox()
        self._requests = 0
        self._asked: asyncio.Future[Msg | None] | None = None
        self._heard_s = time.monotonic()
        self.subscription: Subscription | None = None

    async def hear(self, message: Msg) -> None:
        """Take a job, or word that there is none; it is nats-py's callback."""
        asked = self._asked if self._asked is not None and not self._asked.done() else None
        if not message.reply:
            # A status: of the request that is waited for, or of one that has been given up.
            if asked is not None and message.subject == self._reply:
                asked.set_result(None)
        elif asked is not None:
            asked.set_result(message)
        else:
            # It came when nobody asked any more, and no slot is kept for it: somebody else may have one.
            await message.nak()

    @property
    def _reply(self) -> str:
        return f"{self.inbox}.{self._requests}"

    async def fetch(self, timeout_s: float) -> NatsJob | None:
        """Return the next job, or None when none came in time."""
        message = await self._ask(timeout_s)
        if message is not None:
            self._heard_s = time.monotonic()
            return NatsJob(message)
        if time.monotonic() - self._heard_s >= IDLE_S:
            self._heard_s = time.monotonic()
            self._look_again()
        return None

    async def _ask(self, timeout_s: float) -> Msg | None:
        if not self._connection.is_connected:
            # Requests made now would all be sent at the return, and bring a job each.
            return None
        self._requests += 1
        asked: asyncio.Future[Msg | None] = asyncio.get_running_loop().create_future()
        self._asked = asked
        request = b'{"batch":1,"expires":%d}' % max(1, round(timeout_s * 1e9))
        try:
            async with asyncio.timeout(timeout_s + EXPIRY_S):
                await self._connection.publish(self._subject, request, self._reply)
                return await asked
        except (TimeoutError, NatsError):
            return _told(asked)
        except asyncio.CancelledError:
            if (message := _told(asked)) is not None:
                await message.nak()
            raise
        finally:
            self._asked = None

    async def close(self) -> None:
        """Stop fetching. No job is on its way to a fetch that has returned: it outlasts its request."""
        if self.subscription is None or not self._connection.is_connected:
            return
        try:
            await self.subscription.unsubscribe()
        except NatsError:
            log.debug("the bus went away while a worker stopped")


def _told(asked: asyncio.Future[Msg | None]) -> Msg | None:
    """Return a job that came in the very moment in which nobody waited for it any more."""
    return asked.result() if asked.done() and not asked.cancelled() else None


async def open_source(connection: Client, queue: WorkQueue, look_again: Callable[[], None]) -> NatsJobSource:
    """Return a puller of a queue; `look_again` is called when its consumer may be gone."""
    source = NatsJobSource(connection, queue, look_again)
    source.subscription = await connection.subscribe(  # pyright: ignore[reportUnknownMemberType] - nats-py's
        f"{source.inbox}.*", cb=source.hear
    )
    return source
