"""One process of the stack while it runs: spawned, probed, awaited, signalled."""

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from parley_cli.supervisor.back_off import BackOff
from parley_cli.supervisor.log_file import last_lines, log_path, open_log
from parley_cli.supervisor.process_spec import ProcessSpec
from parley_cli.supervisor.processes import identity
from parley_cli.supervisor.stack_state import ProcessState, Status

FIRST_PROBE_S = 0.02
LONGEST_PROBE_S = 0.25


class Child:
    """A process and what is known of it. Its session is its own, so that a terminal's Ctrl-C misses it."""

    def __init__(self, spec: ProcessSpec, environment: Mapping[str, str], logs_dir: Path) -> None:
        self.spec = spec
        self.log = log_path(logs_dir, spec.name)
        self.back_off = BackOff()
        self.was_ready = asyncio.Event()
        self.stopping = asyncio.Event()
        self.gone = asyncio.Event()
        self.is_restart_asked = False
        self.status: Status = "waiting"
        self.restarts = 0
        self.ready_after_s: float | None = None
        self._environment = {**environment, **spec.environment}
        self._process: asyncio.subprocess.Process | None = None
        self._identity: str | None = None

    @property
    def state(self) -> ProcessState:
        """Return what others may know."""
        is_alive = self._process is not None and self._process.returncode is None
        return ProcessState(
            name=self.spec.name,
            pid=self._process.pid if self._process and is_alive else None,
            identity=self._identity if is_alive else None,
            port=self.spec.port,
            status=self.status,
            ready_after_s=self.ready_after_s,
            restarts=self.restarts,
        )

    async def live(self, changed: Callable[[], None]) -> int:
        """Run the process once and return its exit code (negative: the signal that ended it)."""
        instance = f"{self.spec.name}-{secrets.token_hex(4)}"
        with open_log(self.log) as log:
            process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                env={**self._environment, "PARLEY_INSTANCE": instance},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._process = process
        self._identity = identity(process.pid)
        self.status = "starting"
        changed()
        if self.stopping.is_set():
            self.signal(signal.SIGTERM)
        async with asyncio.TaskGroup() as group:
            probing = group.create_task(self._watch_readiness(instance, changed))
            code = await process.wait()
            probing.cancel()
        # What it started must not hold its files or ports when it starts again.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return code

    async def _watch_readiness(self, instance: str, changed: Callable[[], None]) -> None:
        started_s = time.monotonic()
        interval_s = FIRST_PROBE_S
        while not await self.spec.probe(instance):
            await asyncio.sleep(interval_s)
            interval_s = min(interval_s * 1.5, LONGEST_PROBE_S)
        self.ready_after_s = round(time.monotonic() - started_s, 2)
        self.status = "ready"
        self.was_ready.set()
        changed()

    def signal(self, number: signal.Signals) -> None:
        """Signal the process; SIGKILL goes to all it started as well."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    async def ended(self) -> None:
        """Wait until the process that runs now is gone."""
        if self._process is not None:
            await self._process.wait()

    def log_end(self, count: int = 8) -> str:
        """Return the last lines of its log."""
        return "\n".join(last_lines(self.log, count))
