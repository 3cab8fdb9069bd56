"""The resident memory of a process, as the kernel counts it."""

import os
from pathlib import Path

MIB = 2**20
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_mib(pid: int) -> float:
    """Return how much memory a process has; OSError when it has ended."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / MIB
