"""A run of the builder, seen by the process that searches: passages out when there is time, a shard back."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from parley_rag.backends.edge_builder import DONE, READY
from parley_rag.backends.edge_pipe import framed
from parley_rag.backends.edge_shard import Shard, StoredPassage

_PAGE = 128  # passages read at a time: no search is answered meanwhile
_PIPE_BYTES = 1 << 20
_SILENCE_S = 3_600.0  # of a builder that hangs: it is silent for minutes while it indexes
_END_S = 5.0


class BuildFailed(Exception):
    """The builder ended without a shard."""


class Build:
    """Sends the passages of `sources` to a builder, and keeps what was removed from them meanwhile."""

    def __init__(self, sources: Sequence[Shard], folder: Path, dimensions: int, empty: Path | None) -> None:
        self.sources, self.folder, self.empty = sources, folder, empty
        # Whether the shard to be written to meanwhile is there, and passages may be sent.
        self.is_ready = False
        self._removed: set[str] = set()
        self._removed_documents: set[tuple[str, str]] = set()
        self._pages = _pages(sources)
        self._unsent = memoryview(b"")
        self._is_last = False  # whether what is unsent is the end
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "parley_rag.backends.edge_builder"),
                *(str(folder), str(dimensions), *([str(empty)] if empty else [])),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        with suppress(OSError, AttributeError):  # where the system allows less, a page takes more writes
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._moved_s = time.monotonic()

    @property
    def readable(self) -> int:
        """What to wait for before `hear`."""
        return self._out.fileno()

    @property
    def writable(self) -> int | None:
        """What to wait for before `send`; None when there is nothing to be sent."""
        is_sent = self._is_last and not self._unsent
        return self._in.fileno() if self.is_ready and not is_sent else None

    def require_life(self) -> None:
        """Raise BuildFailed when the builder has neither taken nor said anything for too long."""
        if time.monotonic() > self._moved_s + _SILENCE_S:
            raise BuildFailed

    def hear(self) -> bool:
        """Read what the builder says; True when the shard is built. Raises BuildFailed when it has ended."""
        said = os.read(self.readable, 1)
        self._moved_s = time.monotonic()
        if said == READY:
            self.is_ready = True
        elif said != DONE:
            raise BuildFailed
        return said == DONE

    def send(self) -> None:
        """Send as much as the pipe takes."""
        if not self._unsent:
            page = next(self._pages, None) or []
            self._unsent, self._is_last = memoryview(framed(page)), not page
        try:
            self._unsent = self._unsent[os.write(self._in.fileno(), self._unsent) :]
        except BlockingIOError:
            return
        except BrokenPipeError as error:
            raise BuildFailed from error
        self._moved_s = time.monotonic()

    def note_removed(self, ids: Sequence[str]) -> None:
        """Note that passages of the sources are gone."""
        if self.is_ready:  # before, none was sent, and a source may still be given newer ones
            self._removed.update(ids)

    def note_removed_document(self, owner_id: str, document_id: str) -> None:
        """Note that a document of the sources is gone."""
        if self.is_ready:
            self._removed_documents.add((owner_id, document_id))

    def result(self) -> Shard:
        """Open the built shard, without what was removed while it was built."""
        self.stop()
        shard = Shard.load(self.folder)
        if self._removed:
            shard.remove(self._removed)
        for owner_id, document_id in self._removed_documents:
            shard.remove_document(owner_id, document_id)
        if self._removed or self._removed_documents:
            shard.flush()
        return shard

    def stop(self) -> None:
        """End the builder at once; a shard that it said to be built is whole."""
        self._process.kill()
        self._in.close()
        self._out.close()
        with suppress(subprocess.TimeoutExpired):  # a disk that does not answer holds it
            self._process.wait(_END_S)


def _pages(sources: Sequence[Shard]) -> Iterator[list[StoredPassage]]:
    """Yield what the shards hold, read only when it is wanted."""
    for shard in sources:
        start: str | None = None
        while True:
            passages, start = shard.page(start, _PAGE)
            if passages:
                yield passages
            if start is None:
                break
