"""Makes sure that the streams, consumers and the object bucket exist as `streams.py` describes them."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from typing import Any

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from parley_messaging.queues import ACK_WAIT_S, WorkQueue
from parley_messaging.streams import STREAMS, StreamSpec

MAX_SLOTS = 20_000
"""Above all slots of all replicas: a pull beyond it gets an instant 409 that looks like a timeout."""


def _config(spec: StreamSpec, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        retention=RetentionPolicy.WORK_QUEUE if spec.is_work_queue else RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=spec.max_age_s or None,
        max_bytes=spec.max_bytes,
        discard=DiscardPolicy.OLD,
        allow_direct=True,
        num_replicas=replicas,
    )


async def ensure_streams(js: JetStreamContext, replicas: int) -> None:
    """Create the streams that do not exist and bring the others up to their description."""
    for spec in STREAMS:
        config = _config(spec, replicas)
        try:
            await js.add_stream(config)
        except BadRequestError:
            await js.update_stream(config)


async def ensure_consumer(js: JetStreamContext, queue: WorkQueue) -> None:
    """Create the durable consumer of a work queue unless it exists."""
    try:
        await js.consumer_info(queue.stream, queue.consumer)
    except NotFoundError:
        await js.add_consumer(
            queue.stream,
            ConsumerConfig(
                durable_name=queue.consumer,
                filter_subject=queue.subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_deliver=-1,
                max_ack_pending=MAX_SLOTS,
                max_waiting=MAX_SLOTS,
            ),
        )


async def pending_jobs(js: JetStreamContext, queue: WorkQueue) -> int:
    """Return how many jobs of a queue were never delivered."""
    info: Any = await js.consumer_info(queue.stream, queue.consumer)
    return int(info.num_pending or 0)
