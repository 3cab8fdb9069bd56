"""What every service exports, read at the moment that Prometheus asks."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import EpochStarted, encode_event
from parley_messaging.bus import JobOutcome, QueuedJob
from parley_messaging.circuit import FAILURES
from parley_messaging.measures import Measures
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.queues import llm_jobs
from parley_messaging.service import Service
from parley_messaging.settings import ServiceSettings
from parley_messaging.turn_writer import TurnWriters
from prometheus_client import CollectorRegistry

WAIT_S = 5.0


@pytest.fixture
async def service() -> AsyncGenerator[Service]:
    made = Service("echo", ServiceSettings(), MemoryBus())
    yield made
    await made.bus.close()


def test_a_measure_is_read_when_it_is_asked_for() -> None:
    registry, held = CollectorRegistry(), [1.0]
    measures = Measures(registry)
    measures.gauge("held", "What is held.", lambda: held[0])
    measures.counter("seen", "What was seen.", lambda: {"a": 2.0, "b": held[0]}, label="kind")
    held[0] = 7.0
    assert registry.get_sample_value("held") == 7
    assert registry.get_sample_value("seen_total", {"kind": "a"}) == 2
    assert registry.get_sample_value("seen_total", {"kind": "b"}) == 7


async def test_a_service_exports_its_bus(service: Service) -> None:
    bus, value = service.bus, service.metrics.get_sample_value
    assert isinstance(bus, MemoryBus)
    assert (value("parley_bus_connected"), value("parley_bus_reconnects_total")) == (1, 0)
    bus.is_connected = False
    bus.reconnect()
    assert (value("parley_bus_connected"), value("parley_bus_reconnects_total")) == (0, 1)
    await bus.subscribe("a.subject", lambda _: asyncio.sleep(0))
    bus.drop()
    assert value("parley_bus_dropped_messages_total") == 1


async def test_a_service_exports_its_tasks(service: Service) -> None:
    value = service.metrics.get_sample_value
    before = value("parley_asyncio_tasks")
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(asyncio.Event().wait())
        during = value("parley_asyncio_tasks")
        held.cancel()
    assert before is not None
    assert during == before + 1
    assert value("parley_asyncio_tasks") == before


async def test_a_service_exports_the_jobs_it_works_on(service: Service) -> None:
    queue, began, may_end = llm_jobs("pool"), asyncio.Event(), asyncio.Event()

    async def work(_: QueuedJob) -> JobOutcome:
        began.set()
        await may_end.wait()
        return JobOutcome.DONE

    loop = service.work_raw(queue, work, slots=2)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(loop.run())
        await service.bus.store(queue.subject, b"job")
        async with asyncio.timeout(WAIT_S):
            await began.wait()
        assert service.metrics.get_sample_value("parley_jobs_running", {"queue": queue.consumer}) == 1
        may_end.set()
        loop.stop_intake()
    assert service.metrics.get_sample_value("parley_jobs_running", {"queue": queue.consumer}) == 0


async def test_a_service_exports_the_events_that_nobody_has_acknowledged(service: Service) -> None:
    value = service.metrics.get_sample_value
    writers = TurnWriters(service.bus)
    service.watch_writers(writers)
    # Not started, the writers hear no acknowledgement.
    async with writers.open(subjects.turn_events("home", uuid4().hex), 1) as writer:
        await writer.append(
            lambda seq: encode_event(EpochStarted(seq=seq, follows=0, turn_id="t", keep_chars=0))
        )
        assert value("parley_turn_writers") == 1
        assert value("parley_turn_events_unacknowledged") == 1
    assert value("parley_turn_writers") == 0
    assert value("parley_turn_events_unacknowledged") == 0


async def test_circuits_are_part_of_the_metrics_and_of_health_but_not_of_readiness(service: Service) -> None:
    value = service.metrics.get_sample_value
    service.is_started = True
    circuit = service.circuits.to("part")
    for _ in range(FAILURES):
        with pytest.raises(ParleyError), circuit.passing(0.0):
            raise ParleyError(ErrorCode.TIMEOUT, "it failed")
    with pytest.raises(ParleyError), circuit.passing(0.0):
        pytest.fail("an open circuit lets nobody pass")
    assert value("parley_circuit_open", {"part": "part"}) == 1
    assert value("parley_circuit_skipped_total", {"part": "part"}) == 1
    health = await service.health()
    assert health.circuits == {"part": "open"}
    assert health.is_ready
