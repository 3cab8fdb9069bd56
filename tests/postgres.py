"""A real PostgreSQL server of its own, in a temporary folder, on a free port."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

SERVER_FOLDERS = "usr/lib/postgresql/*/bin"


def server_folder() -> Path | None:
    """Return where `initdb` and `postgres` are; Debian keeps them off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = sorted(Path("/").glob(f"{SERVER_FOLDERS}/initdb"))
    return installed[-1].parent if installed else None


def _as_server_user(command: list[str]) -> list[str]:
    # PostgreSQL refuses to run as root.
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


@contextmanager
def running_postgres(programs: Path, port: int) -> Generator[str]:
    """Run a server while the body does; yields its URL."""
    folder = Path(tempfile.mkdtemp(prefix="parley-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        data = str(folder / "data")
        initdb = [str(programs / "initdb"), "-D", data, "-U", "parley", "-A", "trust", "--no-sync"]
        subprocess.run(_as_server_user(initdb), check=True, capture_output=True, cwd="/")
        control = [str(programs / "pg_ctl"), "-D", data, "-w"]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        start = [*control, "-l", str(folder / "log"), "-o", options, "start"]
        subprocess.run(_as_server_user(start), check=True, capture_output=True, cwd="/")
        try:
            yield f"postgresql://parley@127.0.0.1:{port}/postgres"
        finally:
            stop = [*control, "-m", "immediate", "stop"]
            subprocess.run(_as_server_user(stop), check=True, capture_output=True, cwd="/")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
