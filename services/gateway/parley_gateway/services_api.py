"""`GET /api/admin/services`: every instance of every service that answers now."""

import asyncio
from contextlib import suppress
from typing import Literal

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.health import HealthQuestion, ServiceHealth
from parley_messaging import Bus
from pydantic import BaseModel, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal
from parley_gateway.health_api import SERVICES

router = APIRouter(prefix="/api/admin", tags=["admin"])

ASK_S = 2.5
WHOLE_S = 5.0
"""What has not answered in this time is left out, or away."""
ASKS_AN_INSTANCE = 8
"""The bus hands a question to any instance: one more than were found is missed once in some 3,000 times."""
MOST_ASKS = 100


class ServiceInstance(BaseModel):
    """An instance of a service; of one that does not answer nothing is known but its name."""

    service: str = Field(examples=["memory"])
    status: Literal["ok", "unwell", "away"]
    instance: str | None = Field(default=None, examples=["memory-1"])
    version: str | None = None
    started_at_ms: int | None = Field(default=None, description="Since when it runs, Unix milliseconds.")
    checks: dict[str, str] = Field(
        default={}, description="What it depends on, to `ok` or what is wrong.", examples=[{"database": "ok"}]
    )
    circuits: dict[str, str] = Field(
        default={}, description="Parts that it asks, to `closed`, or to `open` or `probing`."
    )


class ServiceInstances(BaseModel):
    """Instances, by service and name."""

    services: list[ServiceInstance]


async def _ask(bus: Bus, service: str, found: dict[str, ServiceHealth]) -> None:
    with suppress(ParleyError):
        told = await bus.request(
            subjects.service_health(service), HealthQuestion(), ServiceHealth, timeout_s=ASK_S
        )
        found[told.instance] = told


async def find_instances(bus: Bus, service: str) -> list[ServiceInstance]:
    """Return the instances of a service that answer within a bounded time, by name."""
    found: dict[str, ServiceHealth] = {}
    known = -1
    with suppress(TimeoutError):
        async with asyncio.timeout(WHOLE_S):
            await _ask(bus, service, found)
            # Asked again as long as somebody new answers; nobody is asked for long where nobody is.
            while found and known < len(found):
                known = len(found)
                asks = min(MOST_ASKS, ASKS_AN_INSTANCE * (known + 1))
                await asyncio.gather(*(_ask(bus, service, found) for _ in range(asks)))
    if not found:
        return [ServiceInstance(service=service, status="away")]
    return [
        ServiceInstance(
            service=service,
            status="ok" if one.is_ready else "unwell",
            instance=one.instance,
            version=one.version,
            started_at_ms=one.started_at_ms,
            checks=one.checks,
            circuits=one.circuits,
        )
        for _, one in sorted(found.items())
    ]


@router.get("/services")
async def list_services(edge: CurrentEdge, principal: CurrentPrincipal) -> ServiceInstances:
    """List every instance of every service that answers, and the services of which none does."""
    found = await asyncio.gather(
        *(find_instances(edge.bus, service) for service in sorted({"gateway", *SERVICES}))
    )
    return ServiceInstances(services=[one for instances in found for one in instances])
