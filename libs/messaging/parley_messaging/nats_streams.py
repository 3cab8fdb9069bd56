"""Makes sure that the streams, consumers and the object bucket exist as `streams.py` describes them."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from nats.errors import Error as NatsError
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
from nats.js.object_store import ObjectStore
from parley_contracts import stream_names
from parley_contracts.errors import ErrorCode, ParleyError

from parley_messaging.bus import QueueState
from parley_messaging.queues import ACK_WAIT_S, WorkQueue
from parley_messaging.streams import STREAMS, StreamSpec

log = logging.getLogger("parley.messaging")

STREAM_EXISTS = 10058
RETRY_S = 0.5
LOOK_S = 0.1
MAX_SLOTS = 20_000
"""Above all slots of all replicas: a pull beyond it gets an instant 409 that looks like a timeout."""


_DESCRIBED = ("subjects", "max_age", "max_bytes", "discard", "allow_direct", "num_replicas", "deny_purge")
"""What of a stream its description decides and an update may change."""


def _config(spec: StreamSpec, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        retention=RetentionPolicy.WORK_QUEUE if spec.is_work_queue else RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=spec.max_age_s or None,
        max_bytes=spec.max_bytes,
        # A full queue refuses the newest job; anything else forgets its oldest message.
        discard=DiscardPolicy.NEW if spec.is_work_queue else DiscardPolicy.OLD,
        allow_direct=True,
        num_replicas=replicas,
        deny_delete=spec.is_append_only,
        deny_purge=spec.is_append_only,
    )


async def ensure_streams(js: JetStreamContext, replicas: int) -> None:
    """Create the streams that do not exist and bring the others up to their description."""
    for spec in STREAMS:
        config = _config(spec, replicas)
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            if error.err_code != STREAM_EXISTS:
                raise
            await _bring_up(js, config)


async def ensured_bucket(js: JetStreamContext, replicas: int) -> ObjectStore:
    """Return the bucket of uploads; made if it is not there."""
    try:
        return await js.object_store(stream_names.ORIGINALS)
    except NotFoundError:
        return await js.create_object_store(stream_names.ORIGINALS, replicas=replicas)


async def streams_ready(js: JetStreamContext, replicas: int, *, has_bucket: bool) -> None:
    """Make sure of the streams, and of the bucket, as soon as the bus takes them; the caller bounds the wait.

    A cluster takes none before its nodes have a leader, and none of more copies than there are nodes.
    """
    reason = ""
    while True:
        try:
            await ensure_streams(js, replicas)
            if has_bucket:
                await ensured_bucket(js, replicas)
            return
        except (TimeoutError, NatsError) as error:
            if reason != (reason := repr(error)):
                log.warning("streams cannot be made yet", extra={"error": reason})
        await asyncio.sleep(RETRY_S)


async def streams_there(js: JetStreamContext, names: Collection[str]) -> None:
    """Wait until somebody who may has made the streams; the caller bounds the wait."""
    for name in names:
        is_told = False
        while not await _is_there(js, name):
            if not is_told:
                log.info("stream is waited for", extra={"stream": name})
                is_told = True
            await asyncio.sleep(LOOK_S)


async def _is_there(js: JetStreamContext, name: str) -> bool:
    try:
        await js.stream_info(name)
    except (TimeoutError, NatsError):
        return False
    return True


async def _bring_up(js: JetStreamContext, config: StreamConfig) -> None:
    """Update a stream that differs from its description; the limit that `bound_stream` set is kept."""
    standing = (await js.stream_info(_name(config))).config
    wanted = replace(config, max_msgs=standing.max_msgs)
    if any((getattr(wanted, field) or 0) != (getattr(standing, field) or 0) for field in _DESCRIBED):
        await js.update_stream(wanted)


async def bound_stream(js: JetStreamContext, name: str, max_messages: int) -> bool:
    """Set the most messages that a stream may hold.

    Returns:
        False when it was left as it is: an update below what stands deletes the oldest messages, whatever
        the discard policy says, so it is lowered only while at most half as many are there.
    """
    info = await js.stream_info(name)
    standing = info.config.max_msgs
    if standing == max_messages:
        return True
    is_lower = not 0 < (standing or 0) < max_messages
    if is_lower and info.state.messages > max_messages // 2:
        return False
    await js.update_stream(replace(info.config, max_msgs=max_messages))
    return True


def _name(config: StreamConfig) -> str:
    if config.name is None:
        raise ValueError("a stream without a name")
    return config.name


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


async def read_queue_state(js: JetStreamContext, queue: WorkQueue) -> QueueState:
    """Return how a queue stands, from its consumer; one that nobody has pulled from yet is created."""
    try:
        info: Any = await js.consumer_info(queue.stream, queue.consumer)
    except NotFoundError:
        await ensure_consumer(js, queue)
        info = await js.consumer_info(queue.stream, queue.consumer)
    return QueueState(
        waiting=int(info.num_pending or 0),
        running=int(info.num_ack_pending or 0),
        last_delivered=int(info.delivered.stream_seq if info.delivered else 0),
    )


async def read_created_ms(js: JetStreamContext, name: str) -> int:
    """Return when a stream was made; ParleyError `unavailable` when that cannot be told now."""
    try:
        info: Any = await js.stream_info(name)
    except (TimeoutError, NatsError) as error:
        raise ParleyError(ErrorCode.UNAVAILABLE, "The bus is away.") from error
    return round(info.created.timestamp() * 1000)
