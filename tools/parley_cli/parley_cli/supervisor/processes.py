"""What the system knows of processes: which one a pid is, whose it is, how much memory it holds."""

import os
import subprocess
from pathlib import Path

PROC = Path("/proc")
STARTED_AT_FIELD = 19
"""Of /proc/<pid>/stat, counted from after the command's closing bracket (field 22 in proc(5))."""
SESSION_FIELD = 3
RSS_PAGES_FIELD = 21


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The command may hold spaces and brackets itself.
    return text.rpartition(")")[2].split()


def _ps(pid: int, column: str) -> str | None:
    result = subprocess.run(
        ["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or None


def identity(pid: int) -> str | None:
    """Return what tells this process from a later one with the same pid; None when it is gone or a zombie."""
    if not PROC.is_dir():
        return _ps(pid, "lstart")
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else fields[STARTED_AT_FIELD]


def command_line(pid: int) -> str:
    """Return a process's command line, "" when it is gone or not ours to see."""
    if not PROC.is_dir():
        return _ps(pid, "command") or ""
    try:
        return (
            (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        )
    except OSError:
        return ""


def all_pids() -> list[int]:
    """Return every pid, [] where the system has no /proc."""
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()] if PROC.is_dir() else []


def has_environment(pid: int, name: str, value: str) -> bool:
    """Return whether a process was started with an environment variable; False when it may not be read."""
    try:
        return f"{name}={value}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def memory_bytes(leader_pid: int) -> int | None:
    """Return the resident memory of a session: a process and what it started. None when unknown."""
    if not PROC.is_dir():
        kilobytes = _ps(leader_pid, "rss")
        return int(kilobytes) * 1024 if kilobytes else None
    all_fields = [fields for pid in all_pids() if (fields := _stat(pid)) is not None]
    pages = sum(
        int(fields[RSS_PAGES_FIELD]) for fields in all_fields if fields[SESSION_FIELD] == str(leader_pid)
    )
    return pages * os.sysconf("SC_PAGE_SIZE") or None
