"""`/livez`, `/readyz` and `/metrics` of a service."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from parley_contracts.health import ServiceHealth
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

HealthQuestion = Callable[[], Awaitable[ServiceHealth]]


class EmbeddedServer(uvicorn.Server):
    """A uvicorn server inside a process that handles its own signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to the process."""
        yield


@asynccontextmanager
async def serving(server: uvicorn.Server) -> AsyncGenerator[uvicorn.Server]:
    """Serve while the body runs; a port that is taken raises OSError before it."""
    server.config.load()
    try:
        bound = server.config.bind_socket()
    except SystemExit:
        # uvicorn has logged the reason; what has been opened so far is to be closed in order.
        raise OSError(f"port {server.config.port} cannot be listened on") from None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[bound]))
        try:
            yield server
        finally:
            server.should_exit = True


def probe_routes(health: HealthQuestion, metrics: CollectorRegistry) -> list[Route]:
    """Return the routes of the three probes."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        found = await health()
        return JSONResponse(found.model_dump(mode="json"), status_code=200 if found.is_ready else 503)

    async def all_metrics(_: Request) -> Response:
        return exposition(metrics)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", all_metrics)]


def exposition(metrics: CollectorRegistry) -> Response:
    """Return metrics as Prometheus reads them."""
    return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)


def probe_server(routes: list[Route], host: str, port: int) -> EmbeddedServer:
    """Return a small server for the probes of a service without HTTP of its own."""
    app = Starlette(routes=routes)
    config = uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off")
    return EmbeddedServer(config)
