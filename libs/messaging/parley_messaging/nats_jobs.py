"""Jobs fetched from a JetStream work queue by pull, one at a time."""

import logging
import time
from collections.abc import Callable, Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError

log = logging.getLogger("parley.messaging")

FLUSH_S = 2
"""How long a worker that stops waits for jobs that are on their way to it."""

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
    """One puller of a work queue's durable consumer."""

    def __init__(
        self,
        connection: Client,
        subscription: JetStreamContext.PullSubscription,
        look_again: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._subscription = subscription
        self._look_again = look_again
        self._heard_s = time.monotonic()

    async def fetch(self, timeout_s: float) -> NatsJob | None:
        """Return the next job, or None when none came in time."""
        try:
            # Batches above one stall in nats-py.
            messages = await self._subscription.fetch(1, timeout=timeout_s)
        except (TimeoutError, APIError, NatsError):
            if time.monotonic() - self._heard_s >= IDLE_S:
                self._heard_s = time.monotonic()
                self._look_again()
            return None
        self._heard_s = time.monotonic()
        return NatsJob(messages[0])

    async def close(self) -> NatsJob | None:
        """Stop fetching; return a job that the server had sent just as the last fetch expired."""
        left: NatsJob | None = None
        if not self._connection.is_connected:
            return left
        try:
            await self._connection.flush(FLUSH_S)
            if self._subscription.pending_msgs:
                left = await self.fetch(0.01)
            await self._subscription.unsubscribe()
        except (TimeoutError, NatsError):
            log.debug("the bus went away while a worker stopped")
        return left
