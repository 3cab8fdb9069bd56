# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false
"""How often jobs of the work queues were delivered more than once."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo

from tests.integration.waiting import eventually

QUEUES = ("TURNS", "LLM_JOBS", "INGEST")


class Deliveries:
    """Counts deliveries of jobs against jobs; both only grow while the stack runs."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream

    async def _consumers(self) -> list[ConsumerInfo]:
        return [info for queue in QUEUES for info in await self._jetstream.consumers_info(queue)]

    async def _are_settled(self) -> bool:
        return not any(
            (info.num_pending or 0) + (info.num_ack_pending or 0) for info in await self._consumers()
        )

    async def repeated(self) -> int:
        """Return how many deliveries were repeats, once no job waits and all are acknowledged."""
        await eventually(self._are_settled)
        found = await self._consumers()
        assert not any(info.num_redelivered for info in found), found
        delivered = sum(info.delivered.consumer_seq for info in found if info.delivered)
        stored = sum([(await self._jetstream.stream_info(queue)).state.last_seq for queue in QUEUES])
        return delivered - stored


@asynccontextmanager
async def watching_deliveries(nats_url: str, nkey: Path | None) -> AsyncGenerator[Deliveries]:
    """Fail when a job is delivered again while the body runs; it may look in between."""
    connection = await nats.connect(nats_url, nkeys_seed=str(nkey) if nkey else None)
    try:
        deliveries = Deliveries(connection.jetstream())
        before = await deliveries.repeated()
        yield deliveries
        assert await deliveries.repeated() == before
    finally:
        await connection.close()
