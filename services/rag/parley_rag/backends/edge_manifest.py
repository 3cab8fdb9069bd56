"""Which shards make the embedded index: a list beside them, of a format that is recognised."""

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from parley_rag.backends.edge_shard import Shard

_FORMAT = 2  # 1 was a single shard whose word weights the engine made, without types and dates
_NAME = "shards.json"
_LOCK_WAIT_S = 30.0
_log = logging.getLogger("parley.rag")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the index is made of.

    Attributes:
        shards: Folders, oldest first, each with how many passages it had when it was indexed (0: it was not).
        next: The highest folder name that was given.
        is_new: Whether nobody has noted yet that the index was made empty.
    """

    dimensions: int
    shards: Sequence[tuple[str, int]]
    next: int
    is_new: bool
    format: int = _FORMAT

    def write(self, path: Path) -> None:
        """Write it so that a power cut leaves the old list or the new one."""
        beside = path / f"{_NAME}.new"
        with beside.open("w") as file:
            file.write(json.dumps(asdict(self)))
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path / _NAME)
        _sync(path)


def opened_manifest(path: Path, dimensions: int) -> Manifest:
    """Return the list of the index at `path`; one of another format or length is set aside and made anew."""
    manifest = _read(path)
    if manifest is None or manifest.dimensions != dimensions:
        _set_aside(path)
        manifest = Manifest(dimensions, [("1", 0)], 1, is_new=True)
        making = path.with_name(f"{path.name}.making")  # a crash on the way leaves it to the next start
        shutil.rmtree(making, ignore_errors=True)
        Shard.create(making / "1", dimensions).close()
        manifest.write(making)
        making.rename(path)
        _sync(path.parent)
    return manifest


def drop_former(path: Path) -> None:
    """Delete the index that was set aside."""
    shutil.rmtree(_former(path), ignore_errors=True)


def lock(path: Path) -> IO[bytes]:
    """Hold the index alone until the file is closed; a child whose parent died may still be closing it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = path.with_suffix(".lock").open("wb")
    until_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.05)
        else:
            return held


def _read(path: Path) -> Manifest | None:
    with suppress(FileNotFoundError, ValueError, TypeError):
        manifest = Manifest(**json.loads((path / _NAME).read_text()))
        if manifest.format == _FORMAT:
            return manifest
    return None


def _set_aside(path: Path) -> None:
    if not path.exists():
        return
    _log.warning("vector index of another format set aside; everything has to be indexed anew")
    if _former(path).exists():  # what was made since then has not been noted by anybody
        shutil.rmtree(path)
    else:
        path.rename(_former(path))


def _former(path: Path) -> Path:
    return path.with_name(f"{path.name}.former")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
