"""An event loop whose clock jumps to the next timer when nothing can run, and that can freeze processes."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakSet

Result = TypeVar("Result")

STEP_S = 1e-6
"""Every turn of the loop takes this long, so that two timers set one after the other differ."""

EPOCH_S = 1_700_000_000.0


@dataclass(eq=False)
class Process:
    """What runs of one simulated process: its tasks, and the callbacks held back while it is frozen."""

    name: str
    is_dead: bool = False
    is_frozen: bool = False
    tasks: "WeakSet[asyncio.Task[Any]]" = field(default_factory=WeakSet["asyncio.Task[Any]"])
    held: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def context(self) -> Context:
        """Return a context whose tasks and callbacks belong to this process."""
        context = Context()
        context.run(_PROCESS.set, self)
        return context

    def freeze(self) -> None:
        """Run nothing of this process until `thaw`, as SIGSTOP does."""
        self.is_frozen = not self.is_dead

    def thaw(self) -> None:
        """Go on with everything that has become due meanwhile, in its order."""
        self.is_frozen = False
        held, self.held = self.held, []
        for release in held:
            release()

    def kill(self) -> None:
        """End at once; whoever carries messages for this process lets none pass from here on."""
        self.is_dead = True
        self.thaw()
        for task in tuple(self.tasks):
            task.cancel()


_PROCESS: ContextVar[Process | None] = ContextVar("simulated_process", default=None)


def current_process() -> Process | None:
    """Return the process whose code runs now."""
    return _PROCESS.get()


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: the time that the loop wants to wait is what passes."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing can run any more and no timer is set")
        self.now_s += max(STEP_S, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. Callbacks belong to the process in whose context they were scheduled."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        self.set_task_factory(self._new_task)

    def time(self) -> float:
        return self._jumping.now_s

    def _new_task(
        self, _: asyncio.AbstractEventLoop, coroutine: Any, *, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=self, context=context)
        process = context.get(_PROCESS) if context is not None else _PROCESS.get()
        if process is not None:
            process.tasks.add(task)
        return task

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        context = context if context is not None else copy_context()
        process = context.get(_PROCESS)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        gate = _Gate(self, process, callback, args, context)
        gate.handle = super().call_soon(gate, context=context)
        return gate.handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = context if context is not None else copy_context()
        process = context.get(_PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        gate = _Gate(self, process, callback, args, context)
        gate.handle = handle = super().call_at(when, gate, context=context)
        return handle


class _Gate:
    """One callback of a process: held back while the process is frozen, unless cancelled by then."""

    handle: asyncio.Handle

    def __init__(
        self,
        loop: VirtualLoop,
        process: Process,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
    ) -> None:
        self._loop, self._process, self._context = loop, process, context
        self._callback, self._args = callback, args

    def __call__(self) -> None:
        if self._process.is_frozen:
            self._process.held.append(self._release)
        else:
            self._callback(*self._args)

    def _release(self) -> None:
        self._loop.call_soon(self._run, context=self._context)

    def _run(self) -> None:
        if not self.handle.cancelled():
            self._callback(*self._args)


@contextmanager
def _clocks_of(loop: VirtualLoop) -> Generator[None]:
    """Let the clocks of the module `time` show the time of `loop`, for deadlines and freshness."""
    real = time.time, time.time_ns, time.monotonic
    time.time = lambda: EPOCH_S + loop.time()
    time.time_ns = lambda: int((EPOCH_S + loop.time()) * 1e9)
    time.monotonic = loop.time
    try:
        yield
    finally:
        time.time, time.time_ns, time.monotonic = real


def run_virtually(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run `main` on a loop of its own in virtual time."""
    loop = VirtualLoop()
    with _clocks_of(loop):
        try:
            return loop.run_until_complete(main())
        finally:
            _end_all(loop)
            loop.close()


def _end_all(loop: VirtualLoop) -> None:
    for _ in range(20):
        left = asyncio.all_tasks(loop)
        if not left:
            break
        for task in left:
            task.cancel()
        loop.run_until_complete(_some_turns())
    loop.run_until_complete(loop.shutdown_asyncgens())


async def _some_turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)
