"""What every bus offers: requests, core messages, stored messages, work queues and objects."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from parley_contracts.model import WireModel

from parley_messaging.audit_desk import AuditDesk
from parley_messaging.claims_desk import ClaimsDesk
from parley_messaging.queues import WorkQueue

if TYPE_CHECKING:
    from parley_messaging.erasing import Eraser

Reply = TypeVar("Reply", bound=WireModel)
Request = TypeVar("Request", bound=WireModel)
Handler = Callable[[Request], Awaitable[WireModel]]


class Delivery(Protocol):
    """A core message as it arrives."""

    @property
    def subject(self) -> str:
        """Where it was published."""
        ...

    @property
    def data(self) -> bytes:
        """Its body."""
        ...

    @property
    def reply(self) -> str:
        """Where an answer is expected, or empty."""
        ...


OnDelivery = Callable[[Delivery], Awaitable[None]]
OnDrop = Callable[[], None]
OnReconnect = Callable[[], None]


class Subscription(Protocol):
    """A live subscription to core messages."""

    async def unsubscribe(self) -> None:
        """Stop hearing; repeated calls do nothing."""
        ...


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message read back from a stream."""

    stream_seq: int
    subject: str
    data: bytes


@dataclass(frozen=True, slots=True)
class StoreAck:
    """A stream's acknowledgement.

    Attributes:
        stream_seq: Where the message stands in its stream.
        is_duplicate: A message with the same `Nats-Msg-Id` was there already. Not to be relied on: the
            server forgets what has been acknowledged, and everything when it restarts.
    """

    stream_seq: int
    is_duplicate: bool = False


class AlreadyStoredError(Exception):
    """A message that had to be the first on its subject was not."""


class NotStoredError(Exception):
    """No acknowledgement came: the message may or may not be stored."""


class QueueFullError(NotStoredError):
    """The queue holds as many jobs as it may: the job is not stored."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """How a work queue stands.

    Attributes:
        waiting: Jobs that were never delivered.
        running: Jobs that were delivered and are not acknowledged.
        last_delivered: The stream sequence up to which jobs were delivered; those above it wait.
    """

    waiting: int
    running: int
    last_delivered: int


class JobOutcome(Enum):
    """What becomes of a job when its handler is done with it."""

    DONE = "done"
    RETRY = "retry"
    LEAVE = "leave"


class QueuedJob(Protocol):
    """One delivery of a job; it is delivered again unless acknowledged in time."""

    @property
    def subject(self) -> str:
        """Where the job was published."""
        ...

    @property
    def data(self) -> bytes:
        """Its body."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""
        ...

    @property
    def deliveries(self) -> int:
        """1 for the first delivery."""
        ...

    @property
    def stream_seq(self) -> int:
        """Where it stands in its stream."""
        ...

    async def ack(self) -> None:
        """Remove the job from its queue."""
        ...

    async def release(self, delay_s: float) -> None:
        """Give it back, to be delivered again after `delay_s`."""
        ...

    async def in_progress(self) -> None:
        """Start the time in which it must be acknowledged anew."""
        ...


class JobSource(Protocol):
    """Where a worker fetches jobs, one at a time."""

    async def fetch(self, timeout_s: float) -> QueuedJob | None:
        """Return the next job, or None when none came in time."""
        ...

    async def close(self) -> None:
        """Stop fetching."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What is kept under a key: its size, and its bytes, read from the beginning as they are asked for."""

    size_bytes: int
    pieces: Callable[[], AsyncGenerator[bytes]]


class ObjectStore(Protocol):
    """Uploaded originals, by key."""

    async def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Keep `data` under `key`, in place of what was there; a file is read piece by piece."""
        ...

    async def get(self, key: str) -> bytes:
        """Return what is kept under `key`; ParleyError `not_found` when nothing is."""
        ...

    async def open(self, key: str) -> StoredObject:
        """Return what is kept under `key`, to be read piece by piece; raises as `get` does."""
        ...

    async def fetch(self, key: str, into: BinaryIO) -> None:
        """Write what is kept under `key` into a file, piece by piece; `not_found` when nothing is."""
        ...

    async def delete(self, key: str) -> None:
        """Overwrite what is kept under `key` and forget it; one that is not there is fine."""
        ...


class Bus(Protocol):
    """One connection to the bus, shared by everything in a process."""

    @property
    def objects(self) -> ObjectStore:
        """The object store for uploaded originals."""
        ...

    @property
    def eraser(self) -> "Eraser":
        """Removes stored messages for good."""
        ...

    @property
    def claims(self) -> ClaimsDesk:
        """What messages are sent claims by, and by which those that come are checked."""
        ...

    @property
    def audit(self) -> AuditDesk:
        """Where what was done is handed in."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether messages flow now."""
        ...

    @property
    def max_payload_bytes(self) -> int:
        """The largest message the bus takes."""
        ...

    @property
    def reconnects(self) -> int:
        """How often the bus has come back."""
        ...

    @property
    def dropped_messages(self) -> int:
        """How often messages were dropped because a subscription lagged."""
        ...

    @property
    def refusals(self) -> int:
        """How often the bus refused what this user has no permission for."""
        ...

    def new_inbox(self) -> str:
        """Return a subject of its own for answers, under which only this user may listen."""
        ...

    def on_reconnect(self, tell: OnReconnect) -> None:
        """Call `tell` whenever the bus is back: what was published meanwhile has not been heard."""
        ...

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
        """Answer requests on `subject` from `start` on; one member of `group` gets each.

        Those that name an owner are refused unless their claims hold.
        At most `concurrency` run at once and `waiting` wait; more are refused with `overloaded`.
        """
        ...

    async def start(self) -> None:
        """Connect, make sure the streams exist and begin to answer."""
        ...

    async def stop_answering(self) -> None:
        """Take no more requests and finish those that have arrived."""
        ...

    async def close(self) -> None:
        """Flush and disconnect."""
        ...

    async def request(
        self, subject: str, request: WireModel, reply_type: type[Reply], *, timeout_s: float = 2.0
    ) -> Reply:
        """Ask and wait for the answer.

        Raises:
            ParleyError: `unavailable` when nobody answers, `timeout` when nobody answers in time, or
                the error that the other side raised.
        """
        ...

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        """Publish a bare core message."""
        ...

    async def subscribe(
        self, subject: str, on_delivery: OnDelivery, *, group: str = "", on_drop: OnDrop | None = None
    ) -> Subscription:
        """Hear core messages in order, one at a time; `on_drop` tells that some were lost.

        Of each message that a `group` hears, one member gets it.
        """
        ...

    async def store(
        self,
        subject: str,
        data: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        is_first: bool = False,
        timeout_s: float = 2.0,
    ) -> StoreAck:
        """Publish into the stream of `subject` and wait for its acknowledgement.

        Args:
            subject: A subject that a stream captures.
            data: The body.
            headers: Extra headers.
            is_first: Store only if the subject holds nothing yet.
            timeout_s: How long to wait for the acknowledgement.

        Raises:
            AlreadyStoredError: `is_first` was asked and the subject holds a message.
            QueueFullError: The queue of the subject holds as many jobs as it may.
            NotStoredError: No acknowledgement came in time.
        """
        ...

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        """Publish a domain event and wait for its acknowledgement (NotStoredError as `store`)."""
        ...

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        """Return the newest stored message of a literal subject."""
        ...

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        """Return the first stored message of a subject, which may hold wildcards, from a sequence on."""
        ...

    async def open_jobs(self, queue: WorkQueue) -> JobSource:
        """Return a source of the queue's jobs."""
        ...

    async def bound_queue(self, queue: WorkQueue, max_jobs: int) -> bool:
        """Have the queue's stream refuse jobs beyond `max_jobs`, for every process and until set anew.

        Returns:
            False when too many jobs stand to lower the limit now: a server would drop the oldest.
        """
        ...

    async def queue_state(self, queue: WorkQueue) -> QueueState:
        """Return how the queue stands; ParleyError `unavailable` when that cannot be told now."""
        ...

    async def stream_created_ms(self, stream: str) -> int:
        """Return when a stream was made: one made anew is another. Raises as `queue_state` does."""
        ...
