"""One simulated process's view of a shared bus: counts operations, and any may meet a planned fault."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, TypeVar

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import WireModel
from parley_messaging.audit_desk import AuditDesk
from parley_messaging.bus import (
    Delivery,
    Handler,
    NotStoredError,
    OnDelivery,
    OnDrop,
    OnReconnect,
    QueueState,
    Reply,
    Request,
    StoreAck,
    StoredMessage,
    Subscription,
)
from parley_messaging.claims_desk import ClaimsDesk
from parley_messaging.erasing import Eraser
from parley_messaging.error_boundary import Answering, WireReply, read_reply
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.memory_objects import MemoryObjects
from parley_messaging.message_headers import outgoing
from parley_messaging.queues import WorkQueue

from tests.protocol.planned_faults import Delay, Fault, Freeze, Kill, Lose, Refuse, Thaw
from tests.protocol.process_jobs import ProcessJobSource, do_nothing
from tests.protocol.virtual_time import Process

Result = TypeVar("Result")

READ_TIMEOUT_S = 2.0


@dataclass
class Network:
    """The shared bus, who answers what, and the processes by name."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    answers: dict[str, list["_Responder"]] = field(default_factory=dict[str, list["_Responder"]])
    processes: dict[str, "ProcessBus"] = field(default_factory=dict[str, "ProcessBus"])
    trace: list[str] = field(default_factory=list[str])
    latency_s: Callable[[], float] = float

    def note(self, text: str) -> None:
        self.trace.append(f"{asyncio.get_running_loop().time():9.3f} {text}")

    def responder(self, subject: str) -> "_Responder | None":
        found = [one for one in self.answers.get(subject, []) if not one.bus.process.is_dead]
        if len(found) > 1:
            # Members of a queue group take turns.
            self.answers[subject] = [*found[1:], found[0]]
        return found[0] if found else None


@dataclass
class _Responder:
    bus: "ProcessBus"
    answering: Answering[Any]

    async def serve(
        self, data: bytes, headers: Mapping[str, str], reply: "asyncio.Future[WireReply]"
    ) -> None:
        async def work() -> WireReply:
            return await self.answering.answer(data, headers)

        async def lost() -> WireReply:
            await work()
            raise asyncio.CancelledError

        answer = await self.bus.operate("answer", work, lost=lost, refused=lost)
        if not reply.done():
            reply.set_result(answer)


class _Heard:
    def __init__(self, bus: "ProcessBus", subscription: Subscription) -> None:
        self._bus, self._subscription = bus, subscription

    async def unsubscribe(self) -> None:
        self._bus.require_life()
        self._bus.subscriptions.remove(self._subscription)
        await self._subscription.unsubscribe()


class ProcessBus:
    """A `Bus` for one process. Operation numbers count from the last `plan`."""

    max_payload_bytes = MemoryBus.max_payload_bytes
    is_connected = True
    reconnects = 0
    dropped_messages = 0
    refusals = 0

    def __init__(self, network: Network, process: Process, on_death: Callable[[], None]) -> None:
        self.claims = ClaimsDesk()
        self.audit = AuditDesk()
        self.process = process
        self.operations = 0
        self.has_met_fault = False
        self.has_frozen = False
        self.subscriptions: list[Any] = []
        self._network = network
        self._bus = network.bus
        self._faults: dict[int, Fault] = {}
        self._losing: dict[str, int] = {}
        self._on_death = on_death
        network.processes[process.name] = self

    @property
    def objects(self) -> MemoryObjects:
        return self._bus.objects

    @property
    def eraser(self) -> Eraser:
        return self._bus.eraser

    def new_inbox(self) -> str:
        return self._bus.new_inbox()

    def plan(self, after: int, fault: Fault) -> None:
        """Let `fault` meet the operation that comes as number `after`, counted from now, 1 is the next."""
        self._faults[self.operations + after] = fault

    def _fault(self, name: str) -> Fault | None:
        fault = self._faults.pop(self.operations, None)
        if isinstance(fault, Lose):
            self._losing[fault.only] = self._losing.get(fault.only, 0) + fault.times
            fault = None
        for only, left in self._losing.items():
            if left and name.startswith(only):
                self._losing[only] -= 1
                return Lose()
        return fault

    # -- faults -------------------------------------------------------------------------------------

    def require_life(self) -> None:
        if self.process.is_dead:
            raise asyncio.CancelledError

    def die(self) -> None:
        """Nothing of this process reaches the bus from here on, and it hears nothing."""
        if self.process.is_dead:
            return
        self._network.note(f"{self.process.name} dies")
        for subscription in self.subscriptions:
            self._bus.forget(subscription)
        for subject, found in self._network.answers.items():
            self._network.answers[subject] = [one for one in found if one.bus is not self]
        self.process.kill()
        self._on_death()

    async def freeze(self, for_s: float | None) -> None:
        self.has_frozen = True
        self._network.note(f"{self.process.name} freezes")
        self.process.freeze()
        if for_s is not None:
            asyncio.get_running_loop().call_later(for_s, self.thaw, context=Context())
        await asyncio.sleep(0)

    def thaw(self) -> None:
        if self.process.is_frozen:
            self._network.note(f"{self.process.name} goes on")
            self.process.thaw()

    async def operate(
        self,
        name: str,
        perform: Callable[[], Awaitable[Result]],
        *,
        lost: Callable[[], Awaitable[Result]] | None = None,
        refused: Callable[[], Awaitable[Result]] | None = None,
    ) -> Result:
        """Do one operation, or what the fault that is planned for it makes of it."""
        self.require_life()
        self.operations += 1
        fault = self._fault(name)
        self._network.note(f"{self.process.name} #{self.operations} {name}{f'  <- {fault}' if fault else ''}")
        self.has_met_fault = self.has_met_fault or fault is not None
        match fault:
            case Kill(is_after=False):
                self.die()
            case Freeze(for_s=for_s, is_after=False):
                await self.freeze(for_s)
            case Thaw(process=other, let_run_s=let_run_s):
                self._network.processes[other].thaw()
                await asyncio.sleep(let_run_s)
            case Delay(for_s=for_s):
                await asyncio.sleep(for_s)
            case Lose() if lost is not None:
                return await lost()
            case Refuse() if (refused or lost) is not None:
                return await (refused or lost)()  # type: ignore[misc]  # the guard says that one is there
            case _:
                pass
        # A publish awaits nothing on the way; everything else takes its time.
        if not name.startswith("publish") and (latency_s := self._network.latency_s()):
            await asyncio.sleep(latency_s)
        self.require_life()
        result = await perform()
        match fault:
            case Kill(is_after=True):
                self.die()
            case Freeze(for_s=for_s, is_after=True):
                await self.freeze(for_s)
            case _:
                pass
        self.require_life()
        return result

    # -- the bus ------------------------------------------------------------------------------------

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
        answering = Answering(
            request_type,
            handler,
            concurrency=concurrency,
            waiting=waiting,
            max_reply_bytes=lambda: self.max_payload_bytes,
        )
        self._network.answers.setdefault(subject, []).append(_Responder(self, answering))

    def on_reconnect(self, tell: OnReconnect) -> None:
        """A process of the simulation is never without the bus and alive."""

    async def start(self) -> None:
        return

    async def stop_answering(self) -> None:
        return

    async def close(self) -> None:
        return

    async def request(
        self, subject: str, request: WireModel, reply_type: type[Reply], *, timeout_s: float = 2.0
    ) -> Reply:
        headers = outgoing(timeout_s)
        responder = self._network.responder(subject)

        async def ask() -> Reply:
            if responder is None:
                return await self._bus.request(subject, request, reply_type, timeout_s=timeout_s)
            reply: asyncio.Future[WireReply] = asyncio.get_running_loop().create_future()
            serving = responder.serve(request.model_dump_json().encode(), headers, reply)
            asyncio.get_running_loop().create_task(serving, context=responder.bus.process.context())
            try:
                async with asyncio.timeout(timeout_s):
                    found = await reply
            except TimeoutError:
                raise ParleyError(ErrorCode.TIMEOUT, f"No answer on {subject} in {timeout_s} s.") from None
            return read_reply(reply_type, found.headers, found.data)

        async def lost() -> Reply:
            await asyncio.gather(ask(), asyncio.sleep(timeout_s), return_exceptions=True)
            raise ParleyError(ErrorCode.TIMEOUT, f"No answer on {subject} in {timeout_s} s.")

        async def refused() -> Reply:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The bus is away.")

        return await self.operate(f"request {_short(subject)}", ask, lost=lost, refused=refused)

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        name = f"publish {_short(subject)} {_event(data)}"
        await self.operate(name, lambda: self._bus.publish(subject, data, reply=reply), lost=do_nothing)

    async def subscribe(
        self, subject: str, on_delivery: OnDelivery, *, group: str = "", on_drop: OnDrop | None = None
    ) -> Subscription:
        async def hear(delivery: Delivery) -> None:
            name = f"hear {_short(delivery.subject)} {_event(delivery.data)}"
            await self.operate(name, lambda: on_delivery(delivery), lost=do_nothing)

        async def begin() -> Subscription:
            found = await self._bus.subscribe(subject, hear, group=group, on_drop=on_drop)
            self.subscriptions.append(found)
            return _Heard(self, found)

        return await self.operate(f"subscribe {_short(subject)}", begin)

    async def store(
        self,
        subject: str,
        data: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        is_first: bool = False,
        timeout_s: float = 2.0,
    ) -> StoreAck:
        def keep() -> Awaitable[StoreAck]:
            return self._bus.store(subject, data, headers=headers, is_first=is_first, timeout_s=timeout_s)

        async def lost() -> StoreAck:
            await asyncio.gather(keep(), return_exceptions=True)
            return await refused()

        async def refused() -> StoreAck:
            await asyncio.sleep(timeout_s)
            raise NotStoredError(f"no acknowledgement for {subject}")

        return await self.operate(f"store {_short(subject)}", keep, lost=lost, refused=refused)

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        await self.store(subject, event.model_dump_json().encode(), headers={"Nats-Msg-Id": message_id})

    async def _read(
        self, name: str, read: Callable[[], Awaitable[StoredMessage | None]]
    ) -> StoredMessage | None:
        async def refused() -> StoredMessage | None:
            await asyncio.sleep(READ_TIMEOUT_S)
            raise ParleyError(ErrorCode.UNAVAILABLE, "The turn log cannot be read now.")

        return await self.operate(name, read, lost=refused, refused=refused)

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        return await self._read(f"last {_short(subject)}", lambda: self._bus.last_stored(stream, subject))

    async def next_stored(self, stream: str, subject: str, from_stream_seq: int) -> StoredMessage | None:
        name = f"next {_short(subject)} from {from_stream_seq}"
        return await self._read(name, lambda: self._bus.next_stored(stream, subject, from_stream_seq))

    async def open_jobs(self, queue: WorkQueue) -> ProcessJobSource:
        self.require_life()
        return ProcessJobSource(self, await self._bus.open_jobs(queue), queue)

    async def bound_queue(self, queue: WorkQueue, max_jobs: int) -> bool:
        return await self._bus.bound_queue(queue, max_jobs)

    async def queue_state(self, queue: WorkQueue) -> QueueState:
        return await self._bus.queue_state(queue)

    async def stream_created_ms(self, stream: str) -> int:
        return await self._bus.stream_created_ms(stream)


def _short(subject: str) -> str:
    parts = subject.removeprefix(f"{subjects.PREFIX}.").split(".")
    return ".".join(part if len(part) < 20 else part[:6] for part in parts)


def _event(data: bytes) -> str:
    return data[:60].decode(errors="replace")
