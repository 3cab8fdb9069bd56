"""Our own nats-server and redis-server: their configuration files and command lines."""

import os
import shutil
from pathlib import Path

from parley_identity.secret_files import replace_private

from parley_cli.bus_config import BrokerTls, nats_authorization, nats_tls, quoted, redis_tls, redis_users
from parley_cli.bus_secrets import BusSecrets
from parley_cli.exits import CliError

# Debian keeps nats-server in /usr/sbin, which an ordinary user's PATH leaves out.
EXTRA_PATH = ("/usr/local/bin", "/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/bin")
URL_SETTING = {"nats-server": "NATS_URL", "redis-server": "REDIS_URL"}
AUTHORIZATION = "authorization.conf"
BREW_NAMES = {"redis-server": "redis"}


def find_program(name: str) -> str | None:
    """Return a system program's path, also from the folders that hold servers."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *EXTRA_PATH]))


def how_to_install(program: str) -> str:
    """Return what to type to get a program from this system's package manager."""
    if find_program("apt-get"):
        return f"sudo apt-get install {program}"
    if find_program("brew"):
        return f"brew install {BREW_NAMES.get(program, program)}"
    if find_program("dnf"):
        return f"sudo dnf install {BREW_NAMES.get(program, program)}"
    return f"put {program} on the PATH"


def require_program(name: str) -> str:
    """Return a server's path; CliError says how to get it."""
    path = find_program(name)
    if path is None:
        raise CliError(
            f"{name} is missing: {how_to_install(name)}, or let {URL_SETTING[name]} name a running one.",
            code="program_missing",
        )
    return path


def nats_argv(
    data_dir: Path, port: int, users: BusSecrets | None = None, tls: BrokerTls | None = None
) -> tuple[str, ...]:
    """Write nats.conf and return the command line of a nats-server that keeps its streams in `data_dir`.

    Without `users` it takes everybody for everything.
    """
    program = require_program("nats-server")
    folder = data_dir / "nats"
    folder.mkdir(parents=True, exist_ok=True)
    # max_pending is what one slow connection may owe before it is cut: many times the largest message, so
    # that a burst of turn events to one gateway is not taken for a dead client.
    config = f"""# Written by `parley up`; changes here are lost.
server_name: parley
host: 127.0.0.1
port: {port}
max_payload: 8MB
max_pending: 128MB
write_deadline: "10s"
jetstream {{
    store_dir: {quoted(folder / "store")}
    max_memory_store: 256MB
}}
"""
    if tls is not None:
        config += nats_tls(tls)
    if users is not None:
        config += f"include {AUTHORIZATION}\n"
        write_authorization(data_dir, users)
    path = folder / "nats.conf"
    path.write_text(config, encoding="utf-8")
    return (program, "-c", str(path))


def write_authorization(data_dir: Path, users: BusSecrets) -> None:
    """Write who may do what on our own nats-server; one that runs reads it again on SIGHUP."""
    replace_private(data_dir / "nats" / AUTHORIZATION, nats_authorization(users.public_keys()))


def redis_argv(
    data_dir: Path, port: int, users: BusSecrets | None = None, tls: BrokerTls | None = None
) -> tuple[str, ...]:
    """Write redis.conf and return the command line of a redis-server that keeps its data in `data_dir`.

    Without `users` it takes everybody for everything.
    """
    program = require_program("redis-server")
    folder = data_dir / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    # What is remembered to save work has an expiry and makes room for more; what is kept has none and stays.
    # set-proc-title no: its command line stays ours, by which a leftover process is recognised.
    config = f"""# Written by `parley up`; changes here are lost.
bind 127.0.0.1
{redis_tls(tls, port) if tls else f"port {port}"}
dir {quoted(folder)}
appendonly yes
appendfsync everysec
save 3600 1 300 100 60 10000
maxmemory 256mb
maxmemory-policy volatile-lru
daemonize no
set-proc-title no
"""
    if users is not None:
        acl = folder / "users.acl"
        replace_private(acl, redis_users(users.redis_hashes()))
        config += f"aclfile {quoted(acl)}\n"
    path = folder / "redis.conf"
    path.write_text(config, encoding="utf-8")
    return (program, str(path))
