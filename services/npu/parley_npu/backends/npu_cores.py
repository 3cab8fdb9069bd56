"""The NPU's cores: each has one context, and one thread that alone ever touches it.

Two callers in one context have been seen to take the whole board down, so nothing here trusts a lock: what
is to be computed goes to the threads through a queue. A thread that does not come back from the driver keeps
its context, and `have_ended` says so: the core may not get a second one.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from parley_npu.backends.embedder import BackendError

OPEN_S = 30.0
CLOSE_S = 5.0

Inputs = Sequence[Any]


@dataclass(frozen=True)
class _Run:
    inputs: Inputs
    outputs: "Future[Any]" = field(default_factory=Future[Any])


class NpuCores:
    """Contexts made by `open_context(core_mask)`; each offers `inference(inputs=...)` and `release()`."""

    def __init__(self, open_context: Callable[[int], Any], core_masks: Sequence[int]) -> None:
        self._open_context = open_context
        self._core_masks = core_masks
        # Not bounded itself: callers wait for what they have put in, and there are only so many lanes.
        self._runs: queue.SimpleQueue[_Run | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Lock()
        self._is_closed = False

    def open(self) -> None:
        """Start the threads and wait for their contexts; when one fails, none is left, and it is raised."""
        ready: list[Future[None]] = []
        for mask in self._core_masks:
            opened: Future[None] = Future()
            ready.append(opened)
            # A daemon: a driver that never returns must not keep the process from ending.
            thread = threading.Thread(
                target=self._serve, args=(mask, opened), name=f"npu-{mask}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        try:
            results_of(ready, OPEN_S)
        except Exception:
            self.close()
            raise

    def run(self, batch: Sequence[Inputs], within_s: float) -> list[Any]:
        """Return the outputs of each, computed side by side; BackendError when one fails or is late."""
        runs = [_Run(inputs) for inputs in batch]
        with self._closing:
            # What came behind the threads' last call would be waited for in vain.
            if self._is_closed:
                raise BackendError("the NPU is being closed")
            for run in runs:
                self._runs.put(run)
        outputs = [run.outputs for run in runs]
        try:
            return results_of(outputs, within_s)
        finally:
            for one in outputs:
                one.cancel()

    def close(self) -> None:
        """Have every context released by its own thread, and wait for that as long as is reasonable."""
        with self._closing:
            self._is_closed = True
            for _ in self._threads:
                self._runs.put(None)
        deadline_s = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))

    @property
    def have_ended(self) -> bool:
        """Whether no thread is left that holds a context."""
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self, mask: int, opened: "Future[None]") -> None:
        try:
            context = self._open_context(mask)
        except Exception as error:  # noqa: BLE001 - the boundary of a thread: the opener raises it
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            while (run := self._runs.get()) is not None:
                if run.outputs.set_running_or_notify_cancel():
                    _compute(context, run)
        finally:
            context.release()


def _compute(context: Any, run: _Run) -> None:
    try:
        outputs = context.inference(inputs=list(run.inputs))
        if outputs is None:
            raise BackendError("an inference returned None")
    except Exception as error:  # noqa: BLE001 - the boundary of a thread: who waits for the outputs raises it
        run.outputs.set_exception(error)
    else:
        run.outputs.set_result(outputs)


def results_of(futures: "Sequence[Future[Any]]", within_s: float) -> list[Any]:
    """Return all results, or raise the first error; BackendError when one is late."""
    deadline_s = time.monotonic() + within_s
    try:
        return [future.result(max(0.0, deadline_s - time.monotonic())) for future in futures]
    except TimeoutError:
        raise BackendError(f"the NPU has not answered within {within_s:g} s") from None
