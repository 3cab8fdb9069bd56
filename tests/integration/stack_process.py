"""One process of a test's stack: started and waited for, terminated, its log kept."""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from parley_cli.supervisor.process_spec import Probe

from tests.integration.waiting import eventually

READY_S = 60.0
GRACE_S = 45.0
"""Above the 30 s that a service gives its work at hand and the 5 s it takes to close."""


class StackProcess:
    """A broker or a service; `start` may be called again after the process has ended."""

    def __init__(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], folder: Path, probe: Probe
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._argv = tuple(argv)
        self._environment = environment
        self._folder = folder
        self._probe = probe
        self._process: asyncio.subprocess.Process | None = None
        self._instance = ""

    @property
    def instance(self) -> str:
        """The unique name of the process that was started last."""
        return self._instance

    @property
    def pid(self) -> int:
        """The id of the running process; RuntimeError when it was never started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    def twin(self, name: str, **settings: str) -> "StackProcess":
        """Return another process of the same kind and ports, to be run in this one's place."""
        return StackProcess(name, self._argv, {**self._environment, **settings}, self._folder, self._probe)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process and return when it is ready; RuntimeError with its log when it is not."""
        self._instance = f"{self.name}-{secrets.token_hex(4)}"
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                env={**self._environment, "PARLEY_INSTANCE": self._instance},
                # A `.env` where the tests are run from is none of this process's business.
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            await eventually(self._has_settled, within_s=READY_S)
        except TimeoutError:
            raise RuntimeError(f"{self.name} is not ready after {READY_S} s:\n{self.log_end()}") from None
        if not self.is_running:
            raise RuntimeError(f"{self.name} exited at its start:\n{self.log_end()}")

    async def _has_settled(self) -> bool:
        return not self.is_running or await self._probe(self._instance)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end of the process and return its exit code (negative: the signal that killed it)."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        async with asyncio.timeout(GRACE_S):
            code = await self._process.wait()
        self._kill_group(self._process.pid)
        return code

    async def kill(self) -> int:
        """Send SIGKILL, which no process can answer, and return the exit code."""
        self.signal(signal.SIGKILL)
        return await self.ended()

    async def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def close(self) -> int:
        """End the process, by force when it does not end when it is asked to; return its exit code."""
        if self._process is None:
            return 0
        try:
            return await self.terminate()
        except TimeoutError:
            self._kill_group(self._process.pid)
            return await self._process.wait()

    def _kill_group(self, pid: int) -> None:
        # The session that was made for the process alone, with whatever it has left behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def log_end(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
