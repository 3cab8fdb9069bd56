"""Who may do what on the brokers of `parley up`: the files it writes, and real servers that read them."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from parley_cli.app import build_app
from parley_cli.bus_secrets import OPERATOR, BusSecrets
from parley_cli.supervisor.brokers import (
    AUTHORIZATION,
    nats_argv,
    redis_argv,
    require_program,
    write_authorization,
)
from parley_cli.supervisor.processes import identity
from parley_cli.supervisor.stack import SERVICES as STARTED
from parley_cli.supervisor.stack import build_stack
from parley_cli.supervisor.stack_state import ProcessState, StackState, SupervisorLock, write_state
from parley_contracts import subjects
from parley_contracts.bus_rights import SERVICES, BusRights, outside_rights
from parley_contracts.redis_rights import REDIS_USERS
from parley_messaging.bus_keys import public_key
from parley_messaging.nats_access import BusAccess
from parley_messaging.nats_bus import NatsBus
from parley_messaging.streams import TURN_PEN
from typer.testing import CliRunner, Result

from tests.conftest import wait_for_port
from tests.unit.cli.test_brokers import Running, SupervisorMaker, ask, settings_for

Eventually = Callable[..., Awaitable[None]]


def parley(folder: Path, *words: str) -> Result:
    """Run a command on the data folder in `folder`."""
    environment = {"PARLEY_DATA_DIR": str(folder / "data"), "NATS_URL": "", "REDIS_URL": "", "COLUMNS": "200"}
    return CliRunner().invoke(build_app(["bus"]), ["bus", *words], env=environment)


@contextmanager
def serving(argv: tuple[str, ...], port: int) -> Generator[None]:
    """Run a server while the body runs."""
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as server:
        wait_for_port(port, server)
        yield
        server.terminate()


def seeds_of(users: BusSecrets) -> list[str]:
    return [users.nkey_file(user).read_text() for user in (*SERVICES, OPERATOR)]


def test_each_user_has_a_seed_and_a_public_key_in_private_files(tmp_path: Path) -> None:
    users = BusSecrets(tmp_path)
    users.create()
    assert stat.S_IMODE(users.folder.stat().st_mode) == 0o700
    for user, public in users.public_keys().items():
        assert stat.S_IMODE(users.nkey_file(user).stat().st_mode) == 0o600
        assert public_key(users.nkey_file(user).read_text()) == public
    assert set(users.public_keys()) == {*SERVICES, OPERATOR}


def test_a_second_start_keeps_the_users_and_a_deleted_seed_is_made_anew(tmp_path: Path) -> None:
    users = BusSecrets(tmp_path)
    users.create()
    before = dict(users.public_keys())
    users.create()
    assert users.public_keys() == before
    users.nkey_file("browser").unlink()
    users.create()
    changed = {user for user, public in users.public_keys().items() if public != before[user]}
    assert changed == {"browser"}


def test_a_public_key_that_a_crash_has_left_empty_is_written_again(tmp_path: Path) -> None:
    users = BusSecrets(tmp_path)
    users.create()
    before = dict(users.public_keys())
    (users.folder / "gateway.pub").write_text("")
    users.create()
    assert users.public_keys() == before


def test_a_revocation_that_was_cut_short_is_finished_by_asking_again(tmp_path: Path) -> None:
    parley(tmp_path, "issue", "shop")
    data = tmp_path / "data"
    users = BusSecrets(data / "secrets")
    (data / "nats").mkdir()
    write_authorization(data, users)
    users.revoke(outside_rights("shop"))
    assert "ext-shop" in (data / "nats" / AUTHORIZATION).read_text()
    assert parley(tmp_path, "revoke", "shop").exit_code == 4
    assert "ext-shop" not in (data / "nats" / AUTHORIZATION).read_text()


async def test_no_seed_and_no_password_stands_in_a_configuration_or_a_command_line(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    settings = settings_for(tmp_path / "data", PARLEY_PORT=str(free_port()))
    stack = await build_stack(settings)
    users = BusSecrets(settings.secrets_dir)
    hidden = [*seeds_of(users), *(users.redis_password(user) for user in (*REDIS_USERS, OPERATOR))]
    specs = [spec for tier in stack.tiers for spec in tier]
    told = [" ".join(spec.argv) for spec in specs] + [stack.nats_url, stack.redis_url]
    told += [path.read_text() for path in (tmp_path / "data").rglob("*.conf")]
    told += [path.read_text() for path in (tmp_path / "data").rglob("*.acl")]
    assert len(told) > len(specs) + 4
    assert not [one for one in hidden if any(one in text for text in told)]
    environments = {spec.name: dict(spec.environment) for spec in specs}
    for service in STARTED:
        assert environments[service]["NATS_NKEY_FILE"] == str(users.nkey_file(service))
        assert ("REDIS_URL" in environments[service]) == (service in REDIS_USERS)


@pytest.mark.nats
async def test_an_outside_service_may_connect_from_its_issue_to_its_revocation(
    tmp_path: Path,
    supervisor_of: SupervisorMaker,
    running: Running,
    eventually: Eventually,
) -> None:
    settings = settings_for(tmp_path / "data")
    stack = await build_stack(settings, without=STARTED)
    users = BusSecrets(settings.secrets_dir)
    supervisor = supervisor_of([stack.tiers[0][0]])
    (nats,) = supervisor.children
    keeper = BusAccess(rights=SERVICES["gateway"], nkey_file=users.nkey_file("gateway"))
    async with running(supervisor):
        gateway = NatsBus(stack.nats_url, name="gateway", access=keeper, grace_s=1)
        await gateway.connect()
        user = users.issue(outside_rights("shop"))
        write_authorization(settings.data_dir, users)
        nats.signal(signal.SIGHUP)
        access = BusAccess(rights=outside_rights("shop"), nkey_file=users.nkey_file(user))
        await eventually(lambda: "Reloaded server configuration" in nats.log.read_text())
        shop = NatsBus(stack.nats_url, name="shop", access=access, grace_s=1)
        await shop.connect()
        assert users.revoke(outside_rights("shop"))
        assert not users.revoke(outside_rights("shop"))
        write_authorization(settings.data_dir, users)
        nats.signal(signal.SIGHUP)
        await eventually(lambda: not shop.is_connected)
        assert gateway.is_connected
        await shop.close()
        await gateway.close()


@pytest.mark.redis
async def test_a_data_folder_from_before_there_were_users_keeps_what_redis_held(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, users = free_port(), BusSecrets(tmp_path / "secrets")
    with serving(redis_argv(tmp_path, port), port):
        assert await ask(port, b"SET emb:x kept\r\n") == b"+OK\r\n"
    users.create()
    with serving(redis_argv(tmp_path, port, users), port):
        assert (await ask(port, b"GET emb:x\r\n")).startswith((b"-NOPERM", b"-NOAUTH"))
        npu = f"AUTH npu {users.redis_password('npu')}\r\n".encode()
        # An array of one value.
        assert await ask(port, npu, b"MGET emb:x\r\n") == b"*1\r\n"
        operator = f"AUTH {OPERATOR} {users.redis_password(OPERATOR)}\r\n".encode()
        assert await ask(port, operator, b"EXISTS emb:x\r\n") == b":1\r\n"


@pytest.mark.nats
async def test_a_data_folder_from_before_there_were_users_keeps_its_streams(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, users = free_port(), BusSecrets(tmp_path / "secrets")
    url, stop = f"nats://127.0.0.1:{port}", subjects.turn_cancel("t")
    with serving(nats_argv(tmp_path, port), port):
        before = NatsBus(url, name="before", grace_s=1)
        await before.connect()
        await before.store(stop, b"kept")
        await before.objects.put("original", b"kept")
        await before.close()
    users.create()
    with serving(nats_argv(tmp_path, port, users), port):
        access = BusAccess(rights=SERVICES["gateway"], nkey_file=users.nkey_file("gateway"))
        after = NatsBus(url, name="after", grace_s=1, access=access)
        await after.connect()
        found = await after.last_stored(TURN_PEN, stop)
        assert found is not None
        assert (found.data, await after.objects.get("original")) == (b"kept", b"kept")
        assert after.refusals == 0
        await after.close()


@pytest.mark.nats
async def test_who_may_publish_nothing_publishes_nothing(
    tmp_path: Path, free_port: Callable[[], int], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nats-server takes an empty list for no limit."""
    port, mute = free_port(), BusRights(name="mute", hears=(subjects.ALL_CANCELS,))
    monkeypatch.setitem(SERVICES, mute.name, mute)
    users = BusSecrets(tmp_path / "secrets")
    users.create()
    with serving(nats_argv(tmp_path, port, users), port):
        access = BusAccess(rights=mute, nkey_file=users.nkey_file(mute.name))
        bus = NatsBus(f"nats://127.0.0.1:{port}", name="mute", grace_s=1, access=access)
        await bus.connect()
        await bus.publish(subjects.turn_cancel("t"), b"")
        await eventually(lambda: bus.refusals == 1)
        await bus.close()


@pytest.mark.parametrize("is_from_before_users", [False, True])
def test_a_process_that_is_no_nats_server_with_users_is_left_alone(
    tmp_path: Path, is_from_before_users: bool
) -> None:
    """Another may have taken its number; and SIGHUP tells one that was started without users of none."""
    settings = settings_for(tmp_path / "data")
    users = BusSecrets(settings.secrets_dir)
    users.create()
    (settings.data_dir / "nats").mkdir()
    if not is_from_before_users:
        write_authorization(settings.data_dir, users)
    lock = SupervisorLock(settings.run_dir)
    assert lock.take()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        nats = ProcessState(
            name="nats",
            pid=other.pid,
            identity=identity(other.pid) if is_from_before_users else "of one that has ended",
            port=1,
            status="ready",
            ready_after_s=None,
            restarts=0,
        )
        state = StackState(
            pid=os.getpid(),
            identity=None,
            phase="ready",
            url="",
            nats_url="",
            redis_url="",
            started_at_s=0.0,
            processes=(nats,),
        )
        write_state(settings.run_dir, state)
        done = parley(tmp_path, "issue", "shop", "--json")
        assert other.poll() is None
        other.communicate(b"\n")
    lock.release()
    assert json.loads(done.stdout)["is_known_to_the_bus"] is False
    # The server that comes in its place knows the new user.
    known = settings.data_dir / "nats" / AUTHORIZATION
    assert known.exists() is not is_from_before_users
    assert is_from_before_users or "ext-shop" in known.read_text()


@pytest.mark.nats
def test_the_printed_configuration_is_one_that_nats_server_reads(tmp_path: Path) -> None:
    done = parley(tmp_path, "config")
    assert done.exit_code == 0, done.output
    config = tmp_path / "own.conf"
    config.write_text(done.stdout)
    checked = subprocess.run(
        [require_program("nats-server"), "-t", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    users = BusSecrets(tmp_path / "data" / "secrets")
    assert all(public in done.stdout for public in users.public_keys().values())
    assert not [seed for seed in seeds_of(users) if seed in done.stdout]


def test_a_data_folder_that_begins_with_a_printed_configuration_is_open_to_nobody_else(
    tmp_path: Path,
) -> None:
    before = os.umask(0o022)
    try:
        parley(tmp_path, "config")
    finally:
        os.umask(before)
    data = tmp_path / "data"
    for folder in (data, data / "secrets", data / "secrets" / "bus", BusSecrets(data / "secrets").folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_printed_configuration_has_tls_and_redis_users_when_asked_for(tmp_path: Path) -> None:
    tls = parley(tmp_path, "config", "--tls", "--cert", "c.pem", "--key", "k.pem", "--ca", "ca.pem")
    assert 'cert_file: "c.pem"' in tls.stdout
    assert "verify: true" in tls.stdout
    assert "verify" not in parley(tmp_path, "config", "--tls").stdout
    redis = parley(tmp_path, "config", "--redis").stdout
    assert "user default on nopass resetkeys resetchannels -@all +ping" in redis
    assert "~emb:*" in redis


def test_who_may_use_the_bus_is_changed_by_one_command_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_cli.bus_secrets.CHANGE_WAIT_S", 0.0)
    with BusSecrets(tmp_path / "data" / "secrets").changing():
        done = parley(tmp_path, "issue", "shop")
    assert (done.exit_code, "another command" in done.stderr) == (1, True)
    assert parley(tmp_path, "issue", "shop").exit_code == 0


def test_credentials_of_an_outside_service_are_issued_and_revoked_by_name(tmp_path: Path) -> None:
    done = parley(tmp_path, "issue", "shop")
    users = BusSecrets(tmp_path / "data" / "secrets")
    assert done.exit_code == 0, done.output
    assert "ext-shop" in done.stdout
    assert users.nkey_file("ext-shop").read_text() not in done.stdout
    assert "ext-shop" in parley(tmp_path, "config").stdout
    assert parley(tmp_path, "revoke", "shop").exit_code == 0
    assert "ext-shop" not in parley(tmp_path, "config").stdout
    again = parley(tmp_path, "revoke", "shop")
    assert (again.exit_code, "no user" in again.stderr) == (4, True)
    wrong = parley(tmp_path, "issue", "No Name")
    assert (wrong.exit_code, "not a name" in wrong.stderr) == (2, True)


def test_who_offers_tools_is_a_user_apart_with_no_claims(tmp_path: Path) -> None:
    asked = parley(tmp_path, "issue", "shop", "--json")
    offering = parley(tmp_path, "issue", "shop", "--tools", "--json")
    assert (asked.exit_code, offering.exit_code) == (0, 0)
    told = json.loads(offering.output)
    assert told["user"] == "tools-shop"
    assert told["publish"] == [subjects.tool_offered("tools-shop")]
    assert f"{subjects.tool_calls_of('shop')} tools-shop" in told["subscribe"]
    assert not {"claims_file", "owner_id", "asks_for_turns_on"} & set(told)
    users = BusSecrets(tmp_path / "data" / "secrets")
    assert {"ext-shop", "tools-shop"} <= set(users.public_keys())
    assert not users.claims_file("tools-shop").exists()
    assert parley(tmp_path, "revoke", "shop", "--tools").exit_code == 0
    assert "tools-shop" not in users.public_keys()
    assert "ext-shop" in users.public_keys()
    assert parley(tmp_path, "revoke", "shop", "--tools").exit_code == 4
