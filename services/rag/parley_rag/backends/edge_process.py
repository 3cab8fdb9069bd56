"""The process that owns the embedded index: requests in on stdin, answers out on stdout, one at a time.

It ends when its stdin does. When nothing is asked, it feeds the builder.
"""

import os
import select
import sys
import time
from pathlib import Path

from parley_rag.backends.edge_pipe import Frames, framed
from parley_rag.backends.edge_store import EdgeStore, Growth
from parley_rag.child_process import leave_signals_to_parent

_READ_BYTES = 1 << 20
_BUILD_EVERY_S = 0.02  # a build goes on at least so often while there is always a request


class _Server:
    """Takes turns between requests and the build."""

    def __init__(self, store: EdgeStore, idle_s: float) -> None:
        self._store, self._idle_s = store, idle_s
        self._frames = Frames()
        self._idle_at_s = time.monotonic() + idle_s
        self._build_at_s = 0.0
        self._operations = {
            operation.__name__: operation
            for operation in (
                *(store.put, store.search, store.vectors, store.remove, store.count, store.page, store.flush),
                *(store.check, store.is_new, store.settle, store.state),
            )
        }

    def run(self) -> None:
        """Answer until stdin ends."""
        while True:
            build = self._store.build
            reads = [0, build.readable] if build else [0]
            writes = [build.writable] if build and build.writable is not None else []
            wait_s = 0.0 if self._store.is_untidy else max(0.0, self._idle_at_s - time.monotonic())
            readable, writable, _ = select.select(reads, writes, [], wait_s)
            if 0 in readable:
                if not (data := os.read(0, _READ_BYTES)):
                    return
                self._answer(data)
            if not readable and not writable and not self._store.is_untidy:
                self._store.begin_build(is_idle=True)
                self._idle_at_s = time.monotonic() + self._idle_s
            elif 0 not in readable or time.monotonic() > self._build_at_s:
                self._go_on(readable, writable)

    def _answer(self, data: bytes) -> None:
        for number, operation, *arguments in self._frames.add(data):
            try:
                reply = (number, True, self._operations[operation](*arguments))
            except Exception as error:  # noqa: BLE001  the engine raises bare Exception; the parent logs it
                reply = (number, False, f"{type(error).__name__}: {error}")
            view = memoryview(framed(reply))
            while view:
                view = view[os.write(1, view) :]
            if operation != "check":
                self._idle_at_s = time.monotonic() + self._idle_s
        self._store.begin_build(is_idle=False)

    def _go_on(self, readable: list[int], writable: list[int]) -> None:
        build = self._store.build
        if build and build.readable in readable:
            self._store.go_on_with_build(has_said=True)
        elif self._store.is_untidy:
            self._store.tidy()
        elif build and writable:
            self._store.go_on_with_build(has_said=False)
        self._build_at_s = time.monotonic() + _BUILD_EVERY_S


def main() -> None:
    """Serve the index: `PATH DIMENSIONS IDLE_S WRITTEN IDLE LARGEST`."""
    leave_signals_to_parent()
    path, dimensions, idle_s, *growth = sys.argv[1:]
    store = EdgeStore(Path(path), int(dimensions), Growth(*map(int, growth)))
    try:
        _Server(store, float(idle_s)).run()
    except BrokenPipeError:
        pass
    finally:
        store.close()


if __name__ == "__main__":
    main()
