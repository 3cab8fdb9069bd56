"""The probes on the public port: everybody reads states, and who may see them reads metrics."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from parley_gateway.settings import GatewaySettings
from parley_messaging.memory_bus import MemoryBus
from pydantic import ValidationError

from tests.unit.gateway.http_edge import make_edge, open_edge

NOBODY = {"Authorization": ""}
LOOPBACK, PROXY, ELSEWHERE = "127.0.0.1", "10.0.0.1", "203.0.113.9"


@pytest.fixture
async def bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


async def test_everybody_is_told_a_state_and_nothing_else(bus: MemoryBus, tmp_path: Path) -> None:
    edge, app = make_edge(bus, GatewaySettings.model_validate({"data_dir": tmp_path}))
    await bus.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        before = await client.get("/readyz")
        edge.service.is_started = True
        after = await client.get("/readyz")
        alive = await client.get("/livez")
    assert (before.status_code, before.json()) == (503, {"status": "unwell"})
    assert (after.status_code, after.json()) == (200, {"status": "ok"})
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})


async def test_metrics_ask_for_a_key_from_loopback_too(bus: MemoryBus, tmp_path: Path) -> None:
    # A proxy on this machine that no setting names has everybody come from loopback.
    async with open_edge(bus, tmp_path) as client:
        for headers in (NOBODY, {"Authorization": "Bearer wrong"}, {**NOBODY, "X-Forwarded-For": LOOPBACK}):
            refused = await client.get("/metrics", headers=headers)
            assert refused.status_code == 401
            assert "parley_" not in refused.text
        shown = await client.get("/metrics")
    assert shown.status_code == 200
    assert "parley_bus_connected 1.0" in shown.text
    assert shown.headers["content-type"].startswith("text/plain")
    assert shown.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("networks", "proxies", "said", "status"),
    [
        ("127.0.0.0/8, 10.0.0.0/8", "", {}, 200),
        ("10.0.0.0/8", "", {}, 401),
        ("10.0.0.0/8", "", {"X-Forwarded-For": PROXY}, 401),
        ("127.0.0.1", "127.0.0.1", {"X-Forwarded-For": ELSEWHERE}, 401),
        ("203.0.113.0/24", "127.0.0.1", {"X-Forwarded-For": ELSEWHERE}, 200),
        ("203.0.113.0/24", "127.0.0.1", {"X-Forwarded-For": f"{ELSEWHERE}, {PROXY}"}, 401),
    ],
)
async def test_a_network_of_the_setting_reads_metrics_without_a_key(
    tmp_path: Path, networks: str, proxies: str, said: dict[str, str], status: int
) -> None:
    bus = MemoryBus()
    settings = {"gateway_metrics_networks": networks, "gateway_trusted_proxies": proxies}
    async with open_edge(bus, tmp_path, **settings) as client:
        assert (await client.get("/metrics", headers={**NOBODY, **said})).status_code == status
    await bus.close()


def test_a_setting_that_names_no_network_is_refused() -> None:
    with pytest.raises(ValidationError, match="monitoring"):
        GatewaySettings.model_validate({"gateway_metrics_networks": "monitoring.example.org"})
