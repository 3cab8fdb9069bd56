"""Room on the disk of the embedded index: on a full one the system kills who writes to a mapped file."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

_SPARE_BYTES = 128 << 20  # stay free, for this process and the others
_BUILD = 2  # a build takes less than so many times what its sources do
_BLOCK_BYTES = 512  # of `st_blocks`


class DiskFull(Exception):
    """There is too little room to write more."""


def require_room(path: Path) -> None:
    """Raise DiskFull when there is no room for more passages."""
    _require(path, 0)


def require_room_to_build(path: Path, sources: Iterable[Path]) -> None:
    """Raise DiskFull when there is no room for a shard made of those in `sources`."""
    _require(path, _BUILD * sum(map(_bytes_of, sources)))


def _require(path: Path, wanted_bytes: int) -> None:
    free = shutil.disk_usage(path).free
    if free < wanted_bytes + _SPARE_BYTES:
        raise DiskFull(f"{free >> 20} MiB are free, {wanted_bytes + _SPARE_BYTES >> 20} MiB are wanted")


def _bytes_of(folder: Path) -> int:
    """Return what a folder takes; many of its files have holes."""
    return sum(
        Path(parent, name).stat().st_blocks * _BLOCK_BYTES
        for parent, _, names in os.walk(folder)
        for name in names
    )
