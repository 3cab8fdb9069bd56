"""A real PostgreSQL server of its own, in a temporary folder, on a free port."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg

SERVER_FOLDERS = "usr/lib/postgresql/*/bin"
START_S = 30.0


def server_folder() -> Path | None:
    """Return where `initdb` and `postgres` are; Debian keeps them off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = sorted(Path("/").glob(f"{SERVER_FOLDERS}/initdb"))
    return installed[-1].parent if installed else None


def _as_server_user(command: list[str], *, dies_with_us: bool = False) -> list[str]:
    """Return a command of PostgreSQL as it may run: not as root, and if asked no longer than we do."""
    words: list[str] = []
    if os.geteuid() == 0:
        words += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
    if dies_with_us and shutil.which("setpriv"):
        words += ["--pdeathsig=QUIT"]
    return ["setpriv", *words, "--", *command] if words else command


def _wait_until_ready(server: "subprocess.Popen[bytes]", data: Path, log: Path) -> None:
    """Wait until the server says in its pid file, as it does for `pg_ctl`, that it takes connections."""
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError):
            if (data / "postmaster.pid").read_text().rstrip().endswith("\nready"):
                return
        if server.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"PostgreSQL does not start:\n{log.read_text(errors='replace')}")


@contextmanager
def running_postgres(programs: Path, port: int) -> Generator[str]:
    """Run a server while the body does; yields its URL. It is gone, too, when this process is killed."""
    folder = Path(tempfile.mkdtemp(prefix="parley-postgres-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        data, log = folder / "data", folder / "log"
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "parley", "-A", "trust", "--no-sync"]
        subprocess.run(_as_server_user(initdb), check=True, capture_output=True, cwd="/")
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"]
        command += ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"]
        with (
            log.open("wb") as lines,
            subprocess.Popen(
                _as_server_user(command, dies_with_us=True),
                cwd="/",
                stdout=lines,
                stderr=lines,
                start_new_session=True,  # Ctrl-C is for the tests, which still need it at their end
            ) as server,
        ):
            try:
                _wait_until_ready(server, data, log)
                yield f"postgresql://parley@127.0.0.1:{port}/postgres"
            finally:
                server.send_signal(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def empty_database(server_url: str, *, like: str = "template1") -> Generator[str]:
    """Make a database on a server, a copy of `like`, for as long as the body runs; yields its URL."""
    name = f"parley_test_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {like}".encode())
        try:
            yield f"{server_url.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
