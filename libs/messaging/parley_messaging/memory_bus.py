"""The whole bus inside one process, for tests: the same rules as NATS, without a server."""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import WireModel

from parley_messaging.audit_desk import AuditDesk
from parley_messaging.bus import (
    AlreadyStoredError,
    Handler,
    NotStoredError,
    OnDelivery,
    OnDrop,
    OnReconnect,
    QueuedJob,
    QueueFullError,
    QueueState,
    Reply,
    Request,
    StoreAck,
    StoredMessage,
)
from parley_messaging.claims_desk import ClaimsDesk
from parley_messaging.error_boundary import Answering, read_reply
from parley_messaging.inboxes import PREFIX as INBOX_PREFIX
from parley_messaging.memory_objects import MemoryObjects
from parley_messaging.memory_streams import KeptMessage, KeptStream, MemoryEraser
from parley_messaging.message_headers import requesting
from parley_messaging.queues import ACK_WAIT_S, WorkQueue
from parley_messaging.streams import matches, stream_of

log = logging.getLogger("parley.messaging")

PENDING_LIMIT = 65_536


@dataclass(frozen=True, slots=True)
class _Delivered:
    subject: str
    data: bytes
    reply: str = ""


class _Subscription:
    def __init__(
        self, bus: "MemoryBus", subject: str, on_delivery: OnDelivery, on_drop: OnDrop | None, group: str
    ):
        self._bus, self.subject, self.group = bus, subject, group
        self._on_delivery = on_delivery
        self._on_drop = on_drop
        self._pending: asyncio.Queue[_Delivered] = asyncio.Queue(PENDING_LIMIT)
        self._task = asyncio.create_task(self._deliver(), name=f"memory-bus {subject}")

    def offer(self, message: _Delivered) -> None:
        try:
            self._pending.put_nowait(message)
        except asyncio.QueueFull:
            self.note_drop()

    def note_drop(self) -> None:
        self._bus.dropped_messages += 1
        if self._on_drop:
            self._on_drop()

    async def _deliver(self) -> None:
        while True:
            message = await self._pending.get()
            try:
                await self._on_delivery(message)
            except Exception:
                log.exception("delivery failed", extra={"subject": message.subject})

    async def unsubscribe(self) -> None:
        self._bus.forget(self)
        self._task.cancel()
        await asyncio.wait([self._task])


class _Job:
    def __init__(self, stream: KeptStream, stored: KeptMessage):
        self._stream, self._stored = stream, stored
        self.deliveries, self.stream_seq = stored.deliveries, stored.stream_seq

    @property
    def subject(self) -> str:
        return self._stored.subject

    @property
    def data(self) -> bytes:
        return self._stored.data

    @property
    def headers(self) -> Mapping[str, str]:
        return self._stored.headers

    async def ack(self) -> None:
        if self._stored in self._stream.messages:
            self._stream.messages.remove(self._stored)

    async def release(self, delay_s: float) -> None:
        self._stored.held_until_s = asyncio.get_running_loop().time() + delay_s

    async def in_progress(self) -> None:
        self._stored.held_until_s = asyncio.get_running_loop().time() + ACK_WAIT_S


class _JobSource:
    def __init__(self, stream: KeptStream, queue: WorkQueue):
        self._stream, self._queue = stream, queue

    def _take(self) -> _Job | None:
        now_s = asyncio.get_running_loop().time()
        for stored in self._stream.messages:
            if stored.held_until_s <= now_s and matches(self._queue.subject, stored.subject):
                stored.deliveries += 1
                delivered = self._stream.last_delivered
                earlier = delivered.get(self._queue.subject, 0)
                delivered[self._queue.subject] = max(earlier, stored.stream_seq)
                stored.held_until_s = now_s + ACK_WAIT_S
                return _Job(self._stream, stored)
        return None

    def _wake_s(self, until_s: float) -> float:
        return min([until_s, *(stored.held_until_s for stored in self._stream.messages)])

    async def fetch(self, timeout_s: float) -> QueuedJob | None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while (job := self._take()) is None and loop.time() < until_s:
            self._stream.changed.clear()
            try:
                async with asyncio.timeout_at(self._wake_s(until_s)):
                    await self._stream.changed.wait()
            except TimeoutError:
                continue
        return job

    async def close(self) -> None:
        """Nothing is open."""


class MemoryBus:
    """A bus for one process; several services may share it as several connections would."""

    max_payload_bytes = 8 * 1024 * 1024

    def __init__(self, claims: ClaimsDesk | None = None) -> None:
        self.claims = claims or ClaimsDesk()
        self.audit = AuditDesk()
        self.objects = MemoryObjects()
        self.is_connected = True
        self.reconnects = 0
        self.dropped_messages = 0
        self.refusals = 0
        self._answers: dict[str, Answering[Any]] = {}
        self._subscriptions: list[_Subscription] = []
        self._streams: dict[str, KeptStream] = {}
        self.eraser = MemoryEraser(self._streams)
        self._on_reconnect: list[OnReconnect] = []

    def new_inbox(self) -> str:
        """Return a subject of its own."""
        return f"{INBOX_PREFIX}.{uuid4().hex}"

    def on_reconnect(self, tell: OnReconnect) -> None:
        """Call `tell` after each `reconnect`."""
        self._on_reconnect.append(tell)

    def reconnect(self) -> None:
        """Tell that the bus was away; it never is by itself."""
        self.reconnects += 1
        for tell in self._on_reconnect:
            tell()

    def drop(self) -> None:
        """Tell every subscription that some of its messages were lost; none is by itself below the limit."""
        for subscription in self._subscriptions:
            subscription.note_drop()

    def answer(
        self,
        subject: str,
        request_type: type[Request],
        handler: Handler[Request],
        *,
        group: str = "",
        concurrency: int = 16,
        waiting: int = 256,
    ) -> None:
        """Answer requests on `subject`; a later handler takes an earlier one's place."""
        self._answers[subject] = Answering(
            request_type,
            handler,
            concurrency=concurrency,
            waiting=waiting,
            max_reply_bytes=lambda: self.max_payload_bytes,
            check=partial(self.claims.check, subject),
            audited=self.audit.of_subject(subject, group),
        )

    async def start(self) -> None:
        """Do nothing: there is no server."""

    async def stop_answering(self) -> None:
        """Take no more requests."""
        self._answers.clear()

    async def close(self) -> None:
        """End all subscriptions."""
        for subscription in tuple(self._subscriptions):
            await subscription.unsubscribe()

    def forget(self, subscription: _Subscription) -> None:
        """Drop a subscription."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    async def request(
        self, subject: str, request: WireModel, reply_type: type[Reply], *, timeout_s: float = 2.0
    ) -> Reply:
        """Ask whoever answers `subject` in this process, or a core subscriber to it."""
        data = request.model_dump_json().encode()
        headers = requesting(timeout_s, self.claims.of_request(subject, request))
        if len(data) > self.max_payload_bytes:
            raise ParleyError(ErrorCode.TOO_LARGE, "The request is larger than a message may be.")
        try:
            async with asyncio.timeout(timeout_s):
                if answering := self._answering(subject):
                    reply = await answering.answer(data, headers, subject)
                    return read_reply(reply_type, reply.headers, reply.data)
                return read_reply(reply_type, None, await self._ask_subscribers(subject, data))
        except TimeoutError:
            raise ParleyError(ErrorCode.TIMEOUT, "That part of Parley did not answer in time.") from None

    def _answering(self, subject: str) -> Answering[Any] | None:
        return next((found for answered, found in self._answers.items() if matches(answered, subject)), None)

    async def _ask_subscribers(self, subject: str, data: bytes) -> bytes:
        if not any(matches(found.subject, subject) for found in self._subscriptions):
            raise ParleyError(ErrorCode.UNAVAILABLE, "That part of Parley is away.")
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def take(delivery: Any) -> None:
            if not answered.done():
                answered.set_result(delivery.data)

        inbox = self.new_inbox()
        subscription = await self.subscribe(inbox, take)
        try:
            await self.publish(subject, data, reply=inbox)
            return await answered
        finally:
            await subscription.unsubscribe()

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        """Deliver to every matching subscription; a captured subject is stored and acknowledged too."""
        stream = stream_of(subject)
        stored = self._keep(stream.name, subject, data, {}) if stream else None
        self._offer(_Delivered(subject, data, reply))
        if stored and stream and reply:
            await self.publish(reply, b'{"stream":"%b","seq":%d}' % (stream.name.encode(), stored.stream_seq))

    def _offer(self, message: _Delivered) -> None:
        """Offer a message to each matching subscription, and to one of each group."""
        served = set[tuple[str, str]]()
        for subscription in tuple(self._subscriptions):
            group = (subscription.subject, subscription.group)
            if matches(subscription.subject, message.subject) and group not in served:
                subscription.offer(message)
                if subscription.group:
                    served.add(group)

    async def subscribe(
        self, subject: str, on_delivery: OnDelivery, *, group: str = "", on_drop: OnDrop | None = None
    ) -> _Subscription:
        """Hear messages in order."""
        subscription = _Subscription(self, subject, on_delivery, on_drop, group)
        self._subscriptions.append(subscription)
        return subscription

    async def store(
        self,
        subject: str,
        data: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        is_first: bool = False,
        timeout_s: float = 2.0,
    ) -> StoreAck:
        """Store and deliver; a refused message is still delivered to core subscribers, as NATS does."""
        stream = stream_of(subject)
        if stream is None:
            raise NotStoredError(f"no stream captures {subject}")
        if earlier := self._earlier(stream.name, headers or {}):
            return StoreAck(earlier.stream_seq, is_duplicate=True)
        taken = is_first and await self.last_stored(stream.name, subject) is not None
        kept = self._stream(stream.name)
        if not taken and kept.max_messages is not None and len(kept.messages) >= kept.max_messages:
            raise QueueFullError(subject)
        stored = None if taken else self._keep(stream.name, subject, data, dict(headers or {}))
        self._offer(_Delivered(subject, data))
        if stored is None:
            raise AlreadyStoredError(subject)
        return StoreAck(stored.stream_seq)

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        """Store a domain event once for each `message_id`."""
        await self.store(subject, event.model_dump_json().encode(), headers={"Nats-Msg-Id": message_id})

    def _earlier(self, name: str, headers: Mapping[str, str]) -> KeptMessage | None:
        message_id = headers.get("Nats-Msg-Id")
        kept = self._stream(name).messages if message_id else []
        return next((found for found in kept if found.headers.get("Nats-Msg-Id") == message_id), None)

    def _stream(self, name: str) -> KeptStream:
        return self._streams.setdefault(name, KeptStream())

    def _keep(self, name: str, subject: str, data: bytes, headers: dict[str, str]) -> KeptMessage:
        stream = self._stream(name)
        stream.last_seq += 1
        stored = KeptMessage(stream.last_seq, subject, data, headers)
        stream.messages.append(stored)
        stream.changed.set()
        return stored

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        """Return the newest stored message of a literal subject."""
        for stored in reversed(self._stream(stream).messages):
            if stored.subject == subject:
                return StoredMessage(stored.stream_seq, stored.subject, stored.data)
        return None

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        """Return the first stored message of a subject from a stream sequence on."""
        messages = self._stream(stream).messages
        begins = bisect_left(messages, from_stream_seq, key=lambda one: one.stream_seq)
        for stored in (messages[at] for at in range(begins, len(messages))):
            if stored.subject == subject or matches(subject, stored.subject):
                return StoredMessage(stored.stream_seq, stored.subject, stored.data)
        return None

    async def open_jobs(self, queue: WorkQueue) -> _JobSource:
        """Return a source of the queue's jobs."""
        return _JobSource(self._stream(queue.stream), queue)

    async def bound_queue(self, queue: WorkQueue, max_jobs: int) -> bool:
        """Refuse jobs beyond `max_jobs`; what stands is kept."""
        self._stream(queue.stream).max_messages = max_jobs
        return True

    async def queue_state(self, queue: WorkQueue) -> QueueState:
        """Return how the queue stands."""
        stream = self._stream(queue.stream)
        jobs = [stored for stored in stream.messages if matches(queue.subject, stored.subject)]
        waiting = sum(stored.deliveries == 0 for stored in jobs)
        return QueueState(waiting, len(jobs) - waiting, stream.last_delivered.get(queue.subject, 0))

    async def stream_created_ms(self, stream: str) -> int:
        """Return when the stream was first asked for."""
        return self._stream(stream).created_ms
