"""The HTTP edge over a memory bus, for tests that script the services behind it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from parley_gateway.app import create_app
from parley_gateway.edge import Edge
from parley_gateway.identity import Doorkeeper, Secrets
from parley_gateway.ids import OwnedIds
from parley_gateway.principal import Prover
from parley_gateway.settings import GatewaySettings
from parley_gateway.sites import Sites
from parley_gateway.sockets import Sockets
from parley_gateway.turn_parts import TurnParts
from parley_messaging import Service
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.known_keys import OWNER, KnownKeys

KEY = "pk_right"
OWNER_ID = OWNER.owner_id
IDS = OwnedIds(b"secret")


@asynccontextmanager
async def open_edge(
    bus: MemoryBus, folder: Path, prover: Prover | None = None
) -> AsyncGenerator[httpx.AsyncClient]:
    """Yield a client of the edge, with the owner's key."""
    settings = GatewaySettings(data_dir=folder)
    service = Service("gateway", settings, bus)
    turns = TurnParts(bus, home="gateway-1", ids=IDS, settings=settings)
    doorkeeper = Doorkeeper(prover or KnownKeys({KEY: OWNER}), Secrets(KEY, b"\x01" * 32), session_s=60)
    sites = await Sites.open(bus, b"\x01" * 32, visitor_s=60, door=turns.door, models=turns.models)
    edge = Edge(service, settings, doorkeeper, turns.models, turns.door, turns.stopper, Sockets(), sites)
    await bus.start()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(edge)),
        base_url="http://gateway",
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
