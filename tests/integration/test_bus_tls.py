"""TLS of the brokers: a whole stack on it, and whoever is not the bus is refused."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from parley_cli.bus_config import BrokerTls
from parley_cli.bus_secrets import BusSecrets
from parley_cli.supervisor.brokers import nats_argv
from parley_contracts.bus_rights import SERVICES
from parley_messaging.nats_access import BusAccess
from parley_messaging.nats_bus import NatsBus

from tests.certificates import Authority
from tests.chaos.printed import print_row
from tests.conftest import free_port, wait_for_port
from tests.fakes.ollama_server import OllamaFake
from tests.integration.paced import QUICK
from tests.integration.stack import open_stack
from tests.stack_marks import STACK

pytestmark = STACK

REFUSED_S = 0.6
"""How long a bus is tried that will not be used."""
USED_S = 10.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def running_nats(folder: Path, tls: BrokerTls | None) -> Generator[tuple[str, BusSecrets]]:
    """Run a locked nats-server as `parley up` configures it."""
    users = BusSecrets(folder / "secrets")
    users.create()
    port = free_port()
    with subprocess.Popen(nats_argv(folder, port, users, tls), stderr=subprocess.DEVNULL) as server:
        try:
            wait_for_port(port, server)
            yield f"nats://127.0.0.1:{port}", users
        finally:
            server.terminate()


def server_tls(authority: Authority, address: str = "127.0.0.1", *, mutual: bool = False) -> BrokerTls:
    cert_file, key_file = authority.issue(address, name="server")
    return BrokerTls(cert_file=cert_file, key_file=key_file, ca_file=authority.path, wants_client_cert=mutual)


def gateway_bus(url: str, users: BusSecrets, start_s: float = REFUSED_S, /, **files: Path) -> NatsBus:
    access = BusAccess(rights=SERVICES["gateway"], nkey_file=users.nkey_file("gateway"), **files)
    return NatsBus(url, name="gateway", start_timeout_s=start_s, grace_s=1, access=access)


async def connects(bus: NatsBus) -> bool:
    try:
        await bus.connect()
        return bus.is_connected
    finally:
        await bus.close()


async def is_refused(tried: str, bus: NatsBus, match: str = "certificate verify failed") -> None:
    """Insist that a bus is not used, and print why."""
    with pytest.raises(ConnectionError, match=match) as caught:
        await connects(bus)
    print_row(f"  {tried}: {caught.value}")


async def test_the_bus_with_the_certificate_that_is_wanted_is_used(
    tmp_path: Path, authority: Authority
) -> None:
    with running_nats(tmp_path, server_tls(authority)) as (url, users):
        assert await connects(gateway_bus(url, users, USED_S, ca_file=authority.path))


async def test_a_bus_signed_by_somebody_else_is_refused(tmp_path: Path, authority: Authority) -> None:
    other = Authority(tmp_path, "other")
    with running_nats(tmp_path, server_tls(authority)) as (url, users):
        await is_refused("signed by somebody else", gateway_bus(url, users, ca_file=other.path))
        await is_refused("signed by nobody known", gateway_bus(url, users))


async def test_a_bus_whose_certificate_is_for_another_address_is_refused(
    tmp_path: Path, authority: Authority
) -> None:
    with running_nats(tmp_path, server_tls(authority, "127.0.0.2")) as (url, users):
        await is_refused("for another address", gateway_bus(url, users, ca_file=authority.path))


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_a_bus_without_tls_is_refused_where_tls_is_wanted(
    tmp_path: Path, authority: Authority, scheme: str
) -> None:
    with running_nats(tmp_path, None) as (url, users):
        bus = gateway_bus(url.replace("nats", scheme, 1), users, ca_file=authority.path)
        await is_refused(f"without TLS, by {scheme}://", bus, "has no TLS")


async def test_a_bus_that_wants_certificates_refuses_who_has_none(
    tmp_path: Path, authority: Authority
) -> None:
    cert_file, key_file = authority.issue("client", name="client")
    strange_cert, strange_key = Authority(tmp_path, "other").issue("stranger", name="stranger")
    with running_nats(tmp_path, server_tls(authority, mutual=True)) as (url, users):
        strange = {"cert_file": strange_cert, "key_file": strange_key}
        for tried, files in (("a client without a certificate", {}), ("with a strange one", strange)):
            bus = gateway_bus(url, users, ca_file=authority.path, **files)
            await is_refused(tried, bus, "no bus answers|cannot be used")
        assert await connects(
            gateway_bus(url, users, USED_S, ca_file=authority.path, cert_file=cert_file, key_file=key_file)
        )


async def test_a_whole_stack_talks_over_tls(
    tmp_path: Path, authority: Authority, model_dir: Path, ollama: OllamaFake
) -> None:
    async with (
        open_stack(
            tmp_path / "stack",
            model_dir=model_dir,
            services=("llm", "npu", "rag", "memory"),
            environment={"OLLAMA_HOST": ollama.url},
            tls=server_tls(authority),
        ) as stack,
        stack.chat() as chat,
    ):
        turn = await chat.start("Over TLS.", model=f"ollama/{QUICK}")
        await chat.until(lambda: turn.is_over)
        assert turn.ending["type"] == "turn_completed"
        async with stack.http() as client:
            services = (await client.get("/v1/health")).json()["services"]
        assert {name for name, state in services.items() if state["status"] != "ok"} == {"browser"}
        assert "Redis" not in stack.processes["npu"].log.read_text()
        print_row(f"  a turn over {stack.nats_url}, vectors over {stack.access.redis_url}")
