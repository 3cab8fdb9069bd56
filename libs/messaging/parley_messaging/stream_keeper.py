"""Makes streams and consumers again that are gone: after a reconnect, and when a queue stays empty.

A server that is started on an emptied data folder has none of them, and nothing else would make them.
"""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
import logging

from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from parley_messaging.nats_access import BusAccess
from parley_messaging.nats_streams import (
    ensure_consumer,
    ensure_streams,
    ensured_bucket,
    streams_ready,
    streams_there,
)
from parley_messaging.queues import WorkQueue
from parley_messaging.streams import STREAMS

log = logging.getLogger("parley.messaging")

OPEN_S = 30.0
ENSURE_S = 10.0
ATTEMPTS = 12
FIRST_PAUSE_S = 0.25
MAX_PAUSE_S = 5.0


class StreamKeeper:
    """Knows which consumers this process uses, and restores what it uses in the background."""

    def __init__(self, replicas: int, access: BusAccess) -> None:
        self._replicas = replicas
        self._access = access
        self._queues: set[WorkQueue] = set()
        self._is_wanted = asyncio.Event()
        self._ensuring = asyncio.Lock()

    async def begin(self, js: JetStreamContext) -> None:
        """Make the streams, or wait for whoever makes them; the caller bounds the wait."""
        if self._access.keeps_streams:
            await streams_ready(js, self._replicas, has_bucket=self._access.rights is not None)
        else:
            await streams_there(js, self._access.awaited_streams)

    def look_again(self) -> None:
        """Have `run` look whether everything is still there."""
        self._is_wanted.set()

    async def open(self, js: JetStreamContext, queue: WorkQueue) -> None:
        """Make sure that the consumer of a queue exists, from now on.

        Raises:
            NatsError: The bus did not answer for `OPEN_S`.
        """
        deadline_s = asyncio.get_running_loop().time() + OPEN_S
        while True:
            try:
                await ensure_consumer(js, queue)
            except (TimeoutError, NatsError):
                if asyncio.get_running_loop().time() >= deadline_s:
                    raise
                await asyncio.sleep(FIRST_PAUSE_S)
            else:
                self._queues.add(queue)
                return

    async def run(self, js: JetStreamContext) -> None:
        """Restore what is gone whenever asked to look, until cancelled."""
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            await self._restore(js)

    async def _restore(self, js: JetStreamContext) -> None:
        pause_s = FIRST_PAUSE_S
        for _ in range(ATTEMPTS):
            try:
                async with asyncio.timeout(ENSURE_S):
                    await self.ensure(js)
                return
            except (TimeoutError, NatsError) as error:
                log.debug("streams cannot be looked at", extra={"error": repr(error)})
            await asyncio.sleep(pause_s)
            pause_s = min(MAX_PAUSE_S, pause_s * 2)
        # The next reconnect, or a queue that stays empty, has it tried again.
        log.error("streams could not be made sure of")

    async def ensure(self, js: JetStreamContext) -> None:
        """Make the streams and consumers that are not there."""
        async with self._ensuring:
            if self._access.keeps_streams:
                await self._make_missing(js)
            else:
                await streams_there(js, self._access.awaited_streams)
            for queue in tuple(self._queues):
                await ensure_consumer(js, queue)

    async def _make_missing(self, js: JetStreamContext) -> None:
        standing = {info.config.name for info in await js.streams_info()}
        missing = [spec.name for spec in STREAMS if spec.name not in standing]
        if missing:
            log.warning("streams are gone and are made anew", extra={"streams": missing})
            await ensure_streams(js, self._replicas)
        if self._access.rights is not None:
            # Those who may not make the bucket find it there.
            await ensured_bucket(js, self._replicas)
