"""Who looks after the services sees every instance that answers, and which service has none."""

from collections.abc import Iterable
from itertools import cycle
from pathlib import Path

from parley_contracts import subjects
from parley_contracts.health import HealthQuestion, ServiceHealth
from parley_gateway.services_api import find_instances
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import open_edge


def health_of(instance: str, *, is_ready: bool = True) -> ServiceHealth:
    return ServiceHealth(
        service="llm",
        version="1.2.3",
        instance=instance,
        is_ready=is_ready,
        checks={"bus": "ok" if is_ready else "away"},
        started_at_ms=17,
    )


def answer_by_turns(bus: MemoryBus, service: str, instances: Iterable[ServiceHealth]) -> None:
    turns = cycle(instances)

    async def answer(_: HealthQuestion) -> ServiceHealth:
        return next(turns)

    bus.answer(subjects.service_health(service), HealthQuestion, answer)


async def test_every_instance_that_answers_is_listed_once(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with open_edge(bus, tmp_path) as client:
        many = [health_of(f"llm-{number}", is_ready=number != 3) for number in range(1, 6)]
        answer_by_turns(bus, "llm", many)
        response = await client.get("/api/admin/services")
    assert response.status_code == 200, response.text
    listed = response.json()["services"]
    llm = [one for one in listed if one["service"] == "llm"]
    assert [one["instance"] for one in llm] == [one.instance for one in many]
    assert [one["status"] for one in llm] == ["ok", "ok", "unwell", "ok", "ok"]
    assert llm[0]["started_at_ms"] == 17
    assert llm[2]["checks"] == {"bus": "away"}
    away = {one["service"] for one in listed if one["status"] == "away"}
    assert away == {"accounts", "browser", "memory", "npu", "rag"}
    (gateway,) = [one for one in listed if one["service"] == "gateway"]
    assert gateway["started_at_ms"] > 0


async def test_instances_that_fail_to_answer_are_left_out_and_asked_so_often_and_no_more() -> None:
    bus, asked = MemoryBus(), 0

    async def answer(_: HealthQuestion) -> ServiceHealth:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise TimeoutError
        return health_of(f"llm-{asked}")

    bus.answer(subjects.service_health("llm"), HealthQuestion, answer)
    await bus.start()
    assert [one.instance for one in await find_instances(bus, "llm")] == ["llm-1", "llm-2"]
    assert asked <= 1 + 16 + 24
    await bus.close()
