"""`GET /v1/health`: the state of every service behind the gateway."""

import asyncio
from typing import Any

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.health import HealthQuestion, ServiceHealth

from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge

router = APIRouter(prefix="/v1", tags=["health"])

SERVICES = ("accounts", "llm", "npu", "rag", "memory", "browser")
ASK_S = 2.5


async def _ask(edge: Edge, service: str) -> dict[str, Any]:
    try:
        found = await edge.bus.request(
            subjects.service_health(service), HealthQuestion(), ServiceHealth, timeout_s=ASK_S
        )
    except ParleyError as error:
        return {"status": "away", "reason": error.code}
    return {
        "status": "ok" if found.is_ready else "unwell",
        "version": found.version,
        "instance": found.instance,
        "checks": found.checks,
        "circuits": found.circuits,
    }


@router.get("/health")
async def read_health(edge: CurrentEdge, principal: CurrentPrincipal) -> dict[str, Any]:
    """Return the state of this gateway and of each service; `degraded` while a part is away."""
    own = await edge.service.health()
    found = await asyncio.gather(*(_ask(edge, service) for service in SERVICES))
    services = dict(zip(SERVICES, found, strict=True))
    is_well = own.is_ready and all(state["status"] == "ok" for state in services.values())
    return {
        "status": "ok" if is_well else "degraded",
        "version": own.version,
        "instance": own.instance,
        "checks": own.checks,
        "circuits": own.circuits,
        "services": services,
        "sockets": len(edge.sockets),
    }
