"""The log of one process: a file it writes itself, turned over by size when the process starts."""

import os
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 10 * 1024 * 1024
KEPT = 3
TAIL_BYTES = 64 * 1024


def log_path(logs_dir: Path, name: str) -> Path:
    """Return where the process called `name` writes."""
    return logs_dir / f"{name}.log"


def open_log(path: Path, max_bytes: int = MAX_BYTES) -> BinaryIO:
    """Return the log opened for appending, turned over first when it is large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size >= max_bytes:
        for number in range(KEPT - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))
    # Logs may quote what users wrote.
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a log; none when there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - TAIL_BYTES)
            file.seek(start)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return lines[1 if start else 0 :][-count:] if count > 0 else []
