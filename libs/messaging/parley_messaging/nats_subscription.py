"""A subscription to core messages."""

import logging

from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from parley_messaging.bus import OnDrop

log = logging.getLogger("parley.messaging")


class HeardSubject:
    """One subscription; ended once, whatever the connection's state."""

    def __init__(self, subscription: Subscription, drops: dict[int, OnDrop]) -> None:
        self._subscription: Subscription | None = subscription
        self._key = id(subscription)
        self._drops = drops

    async def unsubscribe(self) -> None:
        """Hear no more."""
        found, self._subscription = self._subscription, None
        self._drops.pop(self._key, None)
        if found is not None:
            try:
                await found.unsubscribe()
            except NatsError:
                log.debug("unsubscribed from a connection that is closing")
