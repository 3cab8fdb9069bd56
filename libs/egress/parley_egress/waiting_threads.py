"""Threads that wait for other people's servers: so many and no more, and nothing else waits behind them.

Nor does the end of the process: what has begun may wait for a server that says nothing, and is left to that.
`ThreadPoolExecutor` has the interpreter wait for its threads, whatever its `shutdown` was told.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from functools import partial
from threading import Lock, Thread
from typing import Any, ParamSpec, TypeVar

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")
_Job = tuple[Future[Any], Callable[[], Any]]


class _DaemonThreads(Executor):
    """Begins a thread when there is work for one more; each ends when none is left."""

    def __init__(self, at_once: int, name: str) -> None:
        self._at_once = at_once
        self._name = name
        self._lock = Lock()
        self._waiting: deque[_Job] = deque()
        self._working = 0
        self._is_shut = False

    def submit(
        self, fn: Callable[_Args, _Result], /, *args: _Args.args, **kwargs: _Args.kwargs
    ) -> Future[_Result]:
        """Have a thread call it; RuntimeError after the shutdown."""
        future = Future[_Result]()
        with self._lock:
            if self._is_shut:
                raise RuntimeError(f"the threads {self._name!r} begin nothing after their shutdown")
            if self._working < self._at_once:
                Thread(target=self._work, name=self._name, daemon=True).start()
                self._working += 1
            self._waiting.append((future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:
        """Begin nothing any more; what has begun is waited for by nobody, whatever is asked for here."""
        with self._lock:
            self._is_shut = True
            left, self._waiting = self._waiting, deque()
        for future, _ in left:
            future.cancel()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            future, call = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - the boundary of a thread: who waits raises it
                future.set_exception(error)

    def _next(self) -> _Job | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._working -= 1
            return None


@asynccontextmanager
async def open_threads(at_once: int, name: str) -> AsyncGenerator[Executor]:
    """Yield threads for one purpose; what still waits for one of them at the end is not begun.

    Args:
        at_once: How many there are at most.
        name: What they are called in a dump of the process.
    """
    threads = _DaemonThreads(at_once, name)
    try:
        yield threads
    finally:
        threads.shutdown()
