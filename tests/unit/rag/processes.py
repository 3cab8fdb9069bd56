"""The processes that a test has started."""

import os
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def child_running(argument: str | Path) -> int:
    """Return the pid of the one child of this process that has this in its command line."""
    command_lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children_of(os.getpid())}
    (pid,) = (pid for pid, line in command_lines.items() if str(argument).encode() in line)
    return pid
