"""The HTTP edge over a memory bus, for tests that script the services behind it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI
from parley_gateway.app import create_app
from parley_gateway.edge import Edge
from parley_gateway.identity import Doorkeeper, Secrets
from parley_gateway.ids import OwnedIds
from parley_gateway.login_codes import LoginCodes
from parley_gateway.origins import Origins, read_origins
from parley_gateway.principal import Prover
from parley_gateway.server import EdgeServer, connection_guard, create_server, read_certificate
from parley_gateway.settings import GatewaySettings
from parley_gateway.sites import Sites
from parley_gateway.sockets import Sockets
from parley_gateway.turn_parts import TurnParts
from parley_messaging import Service
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.probes import serving

from tests.fakes.data_keys import FakeDataKeys, exports_on, originals_on
from tests.unit.gateway.known_keys import OWNER, KnownKeys, answer_logins

KEY = "pk_right"
SESSION_ID = "session-1"
OWNER_ID = OWNER.owner_id
IDS = OwnedIds(b"secret")


def make_edge(
    bus: MemoryBus, settings: GatewaySettings, prover: Prover | None = None
) -> tuple[Edge, FastAPI]:
    """Return the parts of a gateway whose bus is not started yet, and its application."""
    service = Service("gateway", settings, bus)
    turns = TurnParts(bus, home="gateway-1", ids=IDS, settings=settings)
    origins = Origins(read_origins(settings.gateway_origins))
    known = prover or KnownKeys({KEY: OWNER}, {SESSION_ID: OWNER})
    if prover is None:
        answer_logins(bus, KEY, SESSION_ID)
        FakeDataKeys().on(bus)
    doorkeeper = Doorkeeper(known, Secrets(KEY, b"\x01" * 32), session_s=60, origins=origins)
    edge = Edge(
        service,
        settings,
        doorkeeper,
        turns.models,
        turns.door,
        turns.stopper,
        Sockets(),
        LoginCodes(settings.secrets_path),
        Sites.signed_by(b"\x01" * 32, bus, lasts_s=60, turns=turns),
        originals_on(bus),
        exports_on(bus),
    )
    return edge, create_app(edge)


@asynccontextmanager
async def open_edge(
    bus: MemoryBus,
    folder: Path,
    prover: Prover | None = None,
    /,
    *,
    base_url: str = "http://gateway",
    **settings: object,
) -> AsyncGenerator[httpx.AsyncClient]:
    """Yield a client of the edge, with the owner's key."""
    _, app = make_edge(bus, GatewaySettings.model_validate({"data_dir": folder, **settings}), prover)
    await bus.start()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url=base_url,
        headers={"Authorization": f"Bearer {KEY}"},
        trust_env=False,
    ) as client:
        yield client


async def until(holds: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Return as soon as `holds` does; TimeoutError after `within_s`."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(0.01)


async def until_refused(
    client: httpx.AsyncClient, headers: dict[str, str], *, within_s: float = 10.0
) -> None:
    """Return as soon as a client with these headers is nobody any more; TimeoutError after `within_s`."""
    async with asyncio.timeout(within_s):
        while (await client.get("/api/users/me", headers=headers)).status_code != 401:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)


@asynccontextmanager
async def listening_edge(bus: MemoryBus, folder: Path, **settings: object) -> AsyncGenerator[EdgeServer]:
    """Yield the edge on a socket of its own."""
    found = GatewaySettings.model_validate({"data_dir": folder, "port": 0, **settings})
    _, app = make_edge(bus, found)
    await bus.start()
    server = create_server(app, found, connection_guard(found), read_certificate(found))
    async with serving(server):
        await until(lambda: server.started)
        yield server


def port_of(server: EdgeServer) -> int:
    """Return where a server listens."""
    return server.servers[0].sockets[0].getsockname()[1]
