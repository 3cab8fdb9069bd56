"""Our own nats-server and redis-server, run by the supervisor with the configuration it writes."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from parley_cli.bus_secrets import OPERATOR, BusSecrets
from parley_cli.exits import CliError
from parley_cli.settings import CliSettings, read_settings
from parley_cli.supervisor import brokers
from parley_cli.supervisor.data_folder import prepare_data_folder
from parley_cli.supervisor.processes import command_line
from parley_cli.supervisor.stack import SERVICES, build_stack
from parley_cli.supervisor.supervisor import Supervisor

from tests.certificates import Authority

Running = Callable[[Supervisor], AbstractAsyncContextManager[asyncio.Task[None]]]
Eventually = Callable[..., Awaitable[None]]
SupervisorMaker = Callable[..., Supervisor]


def settings_for(data_dir: Path, **values: str) -> CliSettings:
    """Return settings of a stack that lives in `data_dir`."""
    prepare_data_folder(data_dir)
    environment: Mapping[str, str] = {**os.environ, "PARLEY_DATA_DIR": str(data_dir), **values}
    kept = {name: text for name, text in environment.items() if name not in ("NATS_URL", "REDIS_URL")}
    return read_settings({**kept, **values}, env_file=data_dir / "no.env")


async def ask(port: int, *requests: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    line = b""
    for request in requests:
        writer.write(request)
        line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line


@pytest.mark.nats
@pytest.mark.redis
async def test_nats_has_jetstream_and_redis_keeps_what_it_acknowledged_over_a_kill(
    tmp_path: Path,
    supervisor_of: SupervisorMaker,
    running: Running,
    eventually: Callable[..., Awaitable[None]],
) -> None:
    # A space in the path, for both configuration formats have their own quoting.
    stack = await build_stack(settings_for(tmp_path / "data folder"), without=SERVICES)
    supervisor = supervisor_of([*stack.tiers[0]])
    nats, redis = supervisor.children
    password = BusSecrets(tmp_path / "data folder" / "secrets").redis_password(OPERATOR)
    operator = f"AUTH {OPERATOR} {password}\r\n".encode()
    async with running(supervisor):
        assert b'"jetstream":true' in await ask(nats.spec.port, b"")
        assert b'"max_payload":8388608' in await ask(nats.spec.port, b"")
        assert (await ask(redis.spec.port, b"SET kept yes\r\n")).startswith(b"-NOPERM")
        assert await ask(redis.spec.port, operator, b"SET kept yes\r\n") == b"+OK\r\n"
        redis.signal(signal.SIGKILL)
        await eventually(lambda: redis.state.restarts == 1 and redis.state.status == "ready")
        assert await ask(redis.spec.port, operator, b"GET kept\r\n") == b"$3\r\n"
        assert "redis.conf" in command_line(redis.state.pid or 0)
    assert [child.state.status for child in supervisor.children] == ["stopped", "stopped"]


async def test_certificates_of_the_brokers_that_cannot_be_used_are_named_by_their_settings(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("127.0.0.1")
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for files, named in (
        ((broken, key, authority.path), "PARLEY_BUS_CERT_FILE"),
        ((cert, broken, authority.path), "PARLEY_BUS_KEY_FILE"),
        ((cert, key, broken), "NATS_CA_FILE"),
    ):
        names = ("PARLEY_BUS_CERT_FILE", "PARLEY_BUS_KEY_FILE", "NATS_CA_FILE")
        values = dict(zip(names, map(str, files), strict=True))
        with pytest.raises(CliError, match=named) as caught:
            await build_stack(settings_for(tmp_path / "data", **values), without=SERVICES)
        assert str(broken) in caught.value.message


@pytest.mark.nats
async def test_an_external_server_is_used_instead_of_an_own_one(
    tmp_path: Path, supervisor_of: SupervisorMaker, running: Running
) -> None:
    first = await build_stack(settings_for(tmp_path / "first"), without=SERVICES)
    async with running(supervisor_of([first.tiers[0][0]])):
        settings = settings_for(tmp_path / "second", NATS_URL=first.nats_url)
        second = await build_stack(settings, without=SERVICES)
    assert [spec.name for spec in second.tiers[0]] == ["redis"]
    assert second.environment["NATS_URL"] == first.nats_url


@pytest.mark.parametrize("setting", ["NATS_URL", "REDIS_URL"])
async def test_an_external_server_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path, free_port: Callable[[], int], setting: str
) -> None:
    url = f"nats://someone:secret@127.0.0.1:{free_port()}"
    settings = settings_for(tmp_path / "data", **{setting: url})
    with pytest.raises(CliError) as caught:
        await build_stack(settings, without=SERVICES)
    assert f"Nothing answers at {setting} (127.0.0.1:" in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("program", ["nats-server", "redis-server"])
def test_a_missing_server_says_how_to_install_it(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_apt(name: str, path: str | None = None) -> str | None:
        return "/usr/bin/apt-get" if name == "apt-get" else None

    monkeypatch.setattr("parley_cli.supervisor.brokers.shutil.which", only_apt)
    with pytest.raises(CliError, match=f"{program} is missing: sudo apt-get install {program}"):
        brokers.require_program(program)


async def test_each_gateway_gets_its_own_port_and_every_service_its_own_health_port(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    stack = await build_stack(settings_for(tmp_path / "data", PARLEY_PORT=str(port)), gateways=2)
    services = {spec.name: spec for spec in stack.tiers[1]}
    assert services["gateway"].environment["PARLEY_PORT"] == str(port)
    assert services["gateway-2"].environment["PARLEY_PORT"] == str(port + 1)
    health_ports = {spec.environment["PARLEY_HEALTH_PORT"] for spec in stack.tiers[1]}
    assert len(health_ports) == len(SERVICES) + 1


async def test_with_a_certificate_the_stack_is_found_by_https(
    tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    port, files = free_port(), {"PARLEY_TLS_CERT": "chain.pem", "PARLEY_TLS_KEY": "chain.key"}
    stack = await build_stack(settings_for(tmp_path / "data", PARLEY_PORT=str(port), **files))
    assert stack.url == f"https://127.0.0.1:{port}"
    assert {name: stack.environment[name] for name in files} == {
        name: str(tmp_path / file) for name, file in files.items()
    }


async def test_intake_stops_first_and_the_bus_last(tmp_path: Path, free_port: Callable[[], int]) -> None:
    settings = settings_for(tmp_path / "data", PARLEY_PORT=str(free_port()))
    stack = await build_stack(settings, gateways=2)
    rank = {spec.name: spec.stop_rank for tier in stack.tiers for spec in tier}
    assert rank["gateway"] == rank["gateway-2"] < rank["llm"] < rank["rag"] == rank["browser"]
    assert rank["browser"] < rank["memory"] == rank["npu"] == rank["accounts"] < rank["redis"] < rank["nats"]


async def test_an_unknown_service_to_leave_out_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="There is no service 'ragg'"):
        await build_stack(settings_for(tmp_path / "data"), without=["ragg"])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"-ERR unknown command\r\n", "does not speak NATS."),
        (b'INFO {"version":"2.9.10"}\r\n', "has no JetStream: start nats-server with -js."),
    ],
)
async def test_an_external_nats_that_will_not_do_is_refused_before_anything_starts(
    tmp_path: Path, line: bytes, sentence: str
) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = settings_for(tmp_path / "data", NATS_URL=f"nats://a:secret@{address}")
        with pytest.raises(CliError) as caught:
            await build_stack(settings, without=SERVICES)
    assert caught.value.message == f"NATS_URL ({address}) {sentence}"
