"""The probes on the public port: states for everybody, metrics for who may see them.

The probe port, which is for operators alone, tells more.
"""

from fastapi import APIRouter
from parley_messaging.probes import exposition
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_gateway.edge import CurrentEdge
from parley_gateway.identity import scheme_of
from parley_gateway.networks import Networks
from parley_gateway.route_permissions import require_route

router = APIRouter(include_in_schema=False)


@router.get("/livez")
async def read_livez() -> Response:
    """Return that this process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def read_readyz(edge: CurrentEdge) -> Response:
    """Return whether this gateway and what it depends on are well, and nothing else."""
    found = await edge.service.health()
    if found.is_ready:
        return JSONResponse({"status": "ok"})
    return JSONResponse({"status": "unwell"}, 503)


@router.get("/metrics")
async def read_metrics(request: Request, edge: CurrentEdge) -> Response:
    """Return this process's metrics to who may see the services, and to the networks of the setting."""
    address = request.client.host if request.client else ""
    if address not in Networks(edge.settings.gateway_metrics_networks):
        scheme = scheme_of(request.scope)
        principal = await edge.doorkeeper.identify(request.method, request.headers, scheme)
        require_route(principal, request.scope)
    return exposition(edge.service.metrics)
