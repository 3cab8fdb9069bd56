"""Serves a fake: on a free port inside a test's loop, or on a given port as a process of its own."""

import argparse
import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator

import uvicorn
from starlette.applications import Starlette


class _QuietServer(uvicorn.Server):
    """A server inside another program's loop: it leaves that program's signal handlers alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(app, ws="none", lifespan="off", log_level="critical", timeout_graceful_shutdown=1)


@contextlib.asynccontextmanager
async def listening(app: Starlette) -> AsyncGenerator[str]:
    """Serve on a free port of the loopback address; yield its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        server = _QuietServer(_config(app))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True


def serve_by_command(app: Starlette, *, description: str, default_port: int) -> None:
    """Serve on the port of the command line until a signal comes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=default_port)
    port = int(parser.parse_args().port)
    with socket.create_server(("127.0.0.1", port), backlog=2048) as listener:
        uvicorn.Server(_config(app)).run(sockets=[listener])
