"""The bus on NATS: one connection; FastStream answers requests, nats-py carries the rest."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
import json
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError, SlowConsumerError
from nats.js import JetStreamContext
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
    QueueFullError,
    QueueState,
    Reply,
    Request,
    StoreAck,
    StoredMessage,
)
from parley_messaging.bus_refusals import Refusals
from parley_messaging.cancellable_waits import make_waits_cancellable
from parley_messaging.claims_desk import ClaimsDesk
from parley_messaging.erasing import NatsEraser
from parley_messaging.error_boundary import Answering, read_reply
from parley_messaging.message_headers import outgoing, requesting
from parley_messaging.nats_access import OPEN, BusAccess, has_tls
from parley_messaging.nats_jobs import NatsJobSource, open_source
from parley_messaging.nats_objects import NatsObjects
from parley_messaging.nats_options import lasting_options
from parley_messaging.nats_reading import make_ours, note_unread
from parley_messaging.nats_requests import RequestBroker
from parley_messaging.nats_streams import bound_stream, read_created_ms, read_queue_state
from parley_messaging.nats_subscription import HeardSubject
from parley_messaging.queues import WorkQueue
from parley_messaging.stream_keeper import StreamKeeper

log = logging.getLogger("parley.messaging")

WRONG_LAST_SEQUENCE = 10071
MAX_MESSAGES_EXCEEDED = 10077
PENDING_MESSAGES = 262_144
PENDING_BYTES = 128 * 1024 * 1024
START_TIMEOUT_S = 15.0


class NatsBus:
    """A connection to nats-server (2.9 or later) with JetStream."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        replicas: int = 1,
        grace_s: float = 20.0,
        start_timeout_s: float = START_TIMEOUT_S,
        access: BusAccess = OPEN,
        claims: ClaimsDesk | None = None,
    ) -> None:
        make_waits_cancellable()
        self.url = url
        self._access = access
        self._refusals = Refusals()
        self.claims = claims or ClaimsDesk()
        self.audit = AuditDesk()
        self._start_timeout_s = start_timeout_s
        self._is_closing = False
        self._is_closed = asyncio.Event()
        self.dropped_messages = 0
        self.reconnects = 0
        self._replicas = replicas
        self._keeper = StreamKeeper(replicas, access)
        self._on_reconnect: list[OnReconnect] = []
        self._drops: dict[int, OnDrop] = {}
        self._requests = RequestBroker(
            grace_s=grace_s,
            servers=url.split(","),
            name=name,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
            **lasting_options(),
            **access.options(url),
        )
        self._connection: Client | None = None
        self._js: JetStreamContext | None = None
        self._objects: NatsObjects | None = None
        self.eraser = NatsEraser(lambda: self._jetstream)

    # -- lifecycle ---------------------------------------------------------------------------------

    @property
    def connection(self) -> Client:
        """The raw client."""
        if self._connection is None:
            raise RuntimeError("the bus is not started")
        return self._connection

    @property
    def _jetstream(self) -> JetStreamContext:
        if self._js is None:
            raise RuntimeError("the bus is not started")
        return self._js

    @property
    def objects(self) -> NatsObjects:
        """The object store for uploaded originals."""
        if self._objects is None:
            raise RuntimeError("the bus is not started")
        return self._objects

    @property
    def is_connected(self) -> bool:
        """Whether messages flow now."""
        return self._connection is not None and self._connection.is_connected

    @property
    def max_payload_bytes(self) -> int:
        """The largest message the server takes."""
        return self.connection.max_payload

    @property
    def refusals(self) -> int:
        """How often the server refused what this user has no permission for."""
        return self._refusals.count

    def new_inbox(self) -> str:
        """Return a subject of its own, under which only this user may listen."""
        return self.connection.new_inbox()

    async def connect(self) -> None:
        """Connect and make sure the streams exist; answering begins with `start`."""
        if self._connection is not None:
            return
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._connect()
        except TimeoutError as error:
            why = f": {self._refusals.door}" if self._refusals.door else ""
            raise ConnectionError(f"no bus answers in {self._start_timeout_s:g} s (NATS_URL){why}") from error
        except NatsError as error:
            raise ConnectionError(f"the bus cannot be used: {error}") from error

    async def _connect(self) -> None:
        self._connection = await self._requests.broker.connect()
        make_ours(self._connection)
        self._require_tls()
        self._js = self._connection.jetstream(timeout=5.0)
        await self._keeper.begin(self._js)
        self._objects = NatsObjects(self._js, self._replicas, self._access)

    def _require_tls(self) -> None:
        """Raise ConnectionError for a server that has no TLS where it must."""
        if self._access.needs_tls(self.url) and not has_tls(self.connection):
            raise ConnectionError("the bus has no TLS, but the settings want it")

    async def start(self) -> None:
        """Connect if needed and begin to answer requests."""
        await self.connect()
        await self._requests.broker.start()
        # Only a round trip says that the server knows the subscriptions: "ready" must not come before.
        # nats-py's first PING overtakes what it has not sent yet.
        for _ in range(2):
            await self.connection.flush()

    async def stop_answering(self) -> None:
        """Take no more requests and finish those that have arrived."""
        if self.is_connected:
            await self._requests.drain()

    async def close(self) -> None:
        """Flush and disconnect."""
        if self._connection is None:
            return
        self._is_closing = True
        if self._connection.is_connected:
            await self._requests.broker.stop()
        else:
            # nats-py would write what it has not sent to the lost connection, and fail half-way.
            self._connection._pending.clear()  # pyright: ignore - there is no public way to give it up
            self._connection._pending_data_size = 0  # pyright: ignore - the size of the same
            await self._connection.close()
        self._connection = None

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, SlowConsumerError):
            self.dropped_messages += 1
            if on_drop := self._drops.get(id(error.sub)):
                on_drop()
            return
        if self._refusals.take(error) or note_unread(error):
            return
        if self.is_connected:
            # What a subscriber's callback raised comes here as well.
            log.warning("bus error", exc_info=error)
        else:
            log.debug("bus is away", extra={"error": repr(error)})

    async def _on_disconnected(self) -> None:
        if not self._is_closing:
            log.warning("bus is away")

    async def _on_reconnected(self) -> None:
        self.reconnects += 1
        log.info("bus is back", extra={"reconnects": self.reconnects})
        if self._access.needs_tls(self.url) and not has_tls(self.connection):
            log.critical("the bus that came back has no TLS, but the settings want it")
            self._is_closed.set()
            return
        self._keeper.look_again()
        if self._objects is not None:
            self._objects.reopen()
        for tell in self._on_reconnect:
            tell()

    def on_reconnect(self, tell: OnReconnect) -> None:
        """Call `tell` whenever the bus is back: what was published meanwhile has not been heard."""
        self._on_reconnect.append(tell)

    async def keep_streams(self) -> None:
        """Make streams and consumers again that a reconnect finds gone, until cancelled."""
        await self._keeper.run(self._jetstream)

    async def _on_closed(self) -> None:
        self._is_closed.set()

    async def closed(self) -> None:
        """Wait until the connection has ended for good: by `close`, or because the server ended it."""
        await self._is_closed.wait()

    # -- requests ----------------------------------------------------------------------------------

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
        """Answer requests on `subject` from `start` on."""
        answering = Answering(
            request_type,
            handler,
            concurrency=concurrency,
            waiting=waiting,
            max_reply_bytes=lambda: self.max_payload_bytes,
            check=partial(self.claims.check, subject),
            audited=self.audit.of_subject(subject, group),
        )
        self._requests.answer(subject, group, concurrency + waiting, answering.answer)

    async def request(
        self, subject: str, request: WireModel, reply_type: type[Reply], *, timeout_s: float = 2.0
    ) -> Reply:
        """Ask and wait for the answer."""
        data = request.model_dump_json().encode()
        headers = requesting(timeout_s, self.claims.of_request(subject, request))
        try:
            reply: Msg = await self.connection.request(subject, data, timeout=timeout_s, headers=headers)
        except NoRespondersError:
            raise ParleyError(ErrorCode.UNAVAILABLE, "That part of Parley is away.") from None
        except TimeoutError:
            raise ParleyError(ErrorCode.TIMEOUT, "That part of Parley did not answer in time.") from None
        except MaxPayloadError:
            raise ParleyError(ErrorCode.TOO_LARGE, "The request is larger than a message may be.") from None
        except NatsError as error:
            log.warning("request was not sent", extra={"subject": subject, "error": repr(error)})
            raise ParleyError(ErrorCode.UNAVAILABLE, "The bus is away.") from None
        return read_reply(reply_type, reply.headers, reply.data)

    # -- core messages -----------------------------------------------------------------------------

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        """Publish a bare core message."""
        await self.connection.publish(subject, data, reply)

    async def subscribe(
        self, subject: str, on_delivery: OnDelivery, *, group: str = "", on_drop: OnDrop | None = None
    ) -> HeardSubject:
        """Hear core messages in order, one at a time."""
        found = await self.connection.subscribe(
            subject,
            group,
            cb=on_delivery,  # nats-py's async iterator spends a task a message
            pending_msgs_limit=PENDING_MESSAGES,
            pending_bytes_limit=PENDING_BYTES,
        )
        if on_drop:
            self._drops[id(found)] = on_drop
        return HeardSubject(found, self._drops)

    # -- stored messages ---------------------------------------------------------------------------

    async def store(
        self,
        subject: str,
        data: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        is_first: bool = False,
        timeout_s: float = 2.0,
    ) -> StoreAck:
        """Publish into the stream of `subject` and wait for its acknowledgement."""
        extra = dict(headers or {})
        if is_first:
            extra["Nats-Expected-Last-Subject-Sequence"] = "0"
        try:
            reply: Msg = await self.connection.request(
                subject, data, timeout=timeout_s, headers=extra or None
            )
        except (TimeoutError, NatsError) as error:
            raise NotStoredError(f"no acknowledgement for {subject}: {error!r}") from error
        ack: dict[str, Any] = json.loads(reply.data)
        if fault := ack.get("error"):
            if fault.get("err_code") == WRONG_LAST_SEQUENCE:
                raise AlreadyStoredError(subject)
            if fault.get("err_code") == MAX_MESSAGES_EXCEEDED:
                raise QueueFullError(subject)
            raise NotStoredError(f"{subject} was refused: {fault.get('description')}")
        return StoreAck(int(ack["seq"]), bool(ack.get("duplicate")))

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        """Publish a domain event and wait for its acknowledgement."""
        headers = outgoing(extra={"Nats-Msg-Id": message_id})
        await self.store(subject, event.model_dump_json().encode(), headers=headers)

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        """Return the newest stored message of a literal subject."""
        return await self._direct_get(stream, {"last_by_subj": subject})

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        """Return the first stored message of a subject or pattern at or after a stream sequence."""
        return await self._direct_get(stream, {"seq": max(1, from_stream_seq), "next_by_subj": subject})

    async def _direct_get(self, stream: str, query: dict[str, Any]) -> StoredMessage | None:
        try:
            reply: Msg = await self.connection.request(
                f"$JS.API.DIRECT.GET.{stream}", json.dumps(query).encode(), timeout=2.0
            )
        except (TimeoutError, NatsError) as error:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The turn log cannot be read now.") from error
        found = reply.headers or {}
        if "Nats-Sequence" not in found:
            if found.get("Status") == "404":
                return None
            raise ParleyError(ErrorCode.UNAVAILABLE, "The turn log cannot be read now.")
        return StoredMessage(int(found["Nats-Sequence"]), found["Nats-Subject"], reply.data)

    # -- work queues -------------------------------------------------------------------------------

    async def open_jobs(self, queue: WorkQueue) -> NatsJobSource:
        """Return a source of the queue's jobs."""
        await self._keeper.open(self._jetstream, queue)
        return await open_source(self.connection, queue, self._keeper.look_again)

    async def bound_queue(self, queue: WorkQueue, max_jobs: int) -> bool:
        """Have the queue's stream refuse jobs beyond `max_jobs`."""
        try:
            return await bound_stream(self._jetstream, queue.stream, max_jobs)
        except (TimeoutError, NatsError) as error:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The bus is away.") from error

    async def queue_state(self, queue: WorkQueue) -> QueueState:
        """Return how the queue stands."""
        try:
            return await read_queue_state(self._jetstream, queue)
        except (TimeoutError, NatsError) as error:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The bus is away.") from error

    async def stream_created_ms(self, stream: str) -> int:
        """Return when a stream was made."""
        return await read_created_ms(self._jetstream, stream)
