"""A service: what it answers, works on and depends on, and how it starts and stops."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from parley_contracts import subjects
from parley_contracts.claims import RefusedClaimsError
from parley_contracts.health import HealthQuestion, ServiceHealth
from parley_contracts.model import WireModel
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from pydantic import ValidationError

from parley_messaging.acting import acting_for
from parley_messaging.bus import Bus, Handler, JobOutcome, QueuedJob, Request
from parley_messaging.circuit import Circuits
from parley_messaging.claims_desk import may_be_known_later
from parley_messaging.error_boundary import described
from parley_messaging.measures import Measures
from parley_messaging.message_headers import now_ms
from parley_messaging.probes import probe_routes
from parley_messaging.queues import WorkQueue
from parley_messaging.settings import ServiceSettings
from parley_messaging.turn_writer import TurnWriters
from parley_messaging.work_loop import JobHandler, WorkLoop

log = logging.getLogger("parley.messaging")

Entered = TypeVar("Entered")
Job = TypeVar("Job", bound=WireModel)
Check = Callable[[], Awaitable[None]]

CHECK_TIMEOUT_S = 2.0


def package_version(service: str) -> str:
    """Return the installed version of a service's package."""
    try:
        return version(f"parley-{service}")
    except PackageNotFoundError:
        return "unknown"


class Service:
    """Collects what `compose` asks for; `run_service` starts it, and stops it in order."""

    def __init__(self, name: str, settings: ServiceSettings, bus: Bus) -> None:
        self.name = name
        self.settings = settings
        self.bus = bus
        self.metrics = CollectorRegistry()
        self.measures = Measures(self.metrics)
        self.circuits = Circuits()
        self.stack = AsyncExitStack()
        self.loops: list[WorkLoop] = []
        self.background: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.before_stop: list[Callable[[], Awaitable[None]]] = []
        self.is_started = False
        self.is_stopping = False
        self._checks: dict[str, Check] = {}
        self._started_at_ms = now_ms()
        ProcessCollector(registry=self.metrics)
        PlatformCollector(registry=self.metrics)
        self._measure()
        bus.answer(subjects.service_health(name), HealthQuestion, self._answer_health, group=name)

    def _measure(self) -> None:
        """Export what every service has."""
        measures, bus = self.measures, self.bus
        measures.gauge("parley_asyncio_tasks", "Tasks of the event loop.", lambda: len(asyncio.all_tasks()))
        measures.gauge("parley_bus_connected", "Whether messages flow now.", lambda: float(bus.is_connected))
        measures.counter("parley_bus_reconnects", "Returns of the bus.", lambda: bus.reconnects)
        measures.counter(
            "parley_bus_dropped_messages",
            "Messages dropped because a subscription lagged; their turns are replayed.",
            lambda: bus.dropped_messages,
        )
        measures.counter(
            "parley_bus_refusals",
            "What the bus refused for want of a permission; the log names the subjects.",
            lambda: bus.refusals,
        )
        measures.counter(
            "parley_claims_refused",
            "Messages whose claims did not hold, by the fault; with PARLEY_CLAIMS=observe they are let pass.",
            lambda: bus.claims.refused,
            label="fault",
        )
        measures.gauge(
            "parley_audit_waiting",
            "Events of the audit that the bus has not acknowledged yet.",
            lambda: bus.audit.waiting,
        )
        measures.counter(
            "parley_audit_lost",
            "Events of the audit that were lost because too many waited; the audit says how many.",
            lambda: bus.audit.lost,
        )
        measures.gauge(
            "parley_jobs_running",
            "Jobs being worked on, by work queue.",
            lambda: {loop.queue.consumer: float(loop.jobs_running) for loop in self.loops},
            label="queue",
        )
        measures.gauge(
            "parley_circuit_open",
            "1 while a part that does not answer is skipped.",
            lambda: {name: float(state != "closed") for name, state in self.circuits.states.items()},
            label="part",
        )
        measures.counter(
            "parley_circuit_skipped",
            "Calls that were not made because their part does not answer.",
            lambda: self.circuits.skipped,
            label="part",
        )

    def watch_writers(self, writers: TurnWriters) -> None:
        """Export the turns that this service writes."""
        self.measures.gauge(
            "parley_turn_writers", "Turns whose events are being written.", lambda: writers.open_writers
        )
        self.measures.gauge(
            "parley_turn_events_unacknowledged",
            "Events of turns that are published and not yet acknowledged.",
            lambda: writers.unacknowledged,
        )

    async def enter(self, resource: AbstractAsyncContextManager[Entered]) -> Entered:
        """Open a resource; it is closed, in reverse order, when everything that uses it has stopped."""
        return await self.stack.enter_async_context(resource)

    def answer(
        self,
        subject: str,
        request_type: type[Request],
        handler: Handler[Request],
        *,
        concurrency: int = 16,
        waiting: int = 256,
    ) -> None:
        """Answer requests on `subject`, sharing them with the other instances of this service."""
        self.bus.answer(
            subject, request_type, handler, group=self.name, concurrency=concurrency, waiting=waiting
        )

    def work(
        self,
        queue: WorkQueue,
        job_type: type[Job],
        handler: Callable[[Job], Awaitable[None]],
        *,
        slots: int,
    ) -> None:
        """Work on a durable queue: a handler that returns is done, one that raises is called again."""

        async def handle(job: QueuedJob) -> JobOutcome:
            try:
                body = job_type.model_validate_json(job.data)
                acting = self.bus.claims.check(job.subject, body, job.headers)
            except ValidationError as error:
                fault = described(error).message
                log.error("job cannot be read and is dropped", extra={"subject": job.subject, "fault": fault})
                return JobOutcome.DONE
            except RefusedClaimsError as error:
                return JobOutcome.RETRY if may_be_known_later(error, job) else JobOutcome.DONE
            with acting_for(acting):
                await handler(body)
            return JobOutcome.DONE

        self.work_raw(queue, handle, slots=slots)

    def work_raw(self, queue: WorkQueue, handler: JobHandler, *, slots: int) -> WorkLoop:
        """Work on a durable queue with a handler that decides what becomes of each delivery."""
        loop = WorkLoop(self.bus, queue, handler, slots=slots)
        self.loops.append(loop)
        return loop

    def check(self, name: str, check: Check) -> None:
        """Add a condition of readiness: `check` raises when it does not hold."""
        self._checks[name] = check

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` from start to stop of the service; when it fails, so does the service."""
        self.background.append(work)

    def on_stop(self, finish: Callable[[], Awaitable[None]]) -> None:
        """Call `finish` when the service begins to stop: jobs are taken no more, requests still are."""
        self.before_stop.append(finish)

    async def health(self) -> ServiceHealth:
        """Return the state of this service and of what it depends on."""
        checks = {"bus": "ok" if self.bus.is_connected else "away"}
        for name, check in self._checks.items():
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    await check()
                checks[name] = "ok"
            except Exception as error:  # noqa: BLE001 - whatever is wrong is what the check reports
                checks[name] = str(error) or type(error).__name__
        is_well = all(state == "ok" for state in checks.values())
        return ServiceHealth(
            service=self.name,
            version=package_version(self.name),
            instance=self.settings.instance,
            is_ready=self.is_started and not self.is_stopping and is_well,
            checks=checks,
            started_at_ms=self._started_at_ms,
            circuits=self.circuits.states,
        )

    async def _answer_health(self, _: HealthQuestion) -> ServiceHealth:
        return await self.health()

    def probe_routes(self) -> list[Any]:
        """Return the routes of `/livez`, `/readyz` and `/metrics`."""
        return probe_routes(self.health, self.metrics)
