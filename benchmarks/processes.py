"""The processes of a benchmark: started, commanded, their CPU time read, ended."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ANSWER_S = 120.0
END_S = 15.0


class BenchProcess:
    """A running process. `ask` is for those that serve commands (`commands.py`)."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.greeting: dict[str, Any] = {}
        self._process = process
        self._log = log

    async def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Give a command and return its answer; RuntimeError with the log when the process has died."""
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError(f"{self.name} takes no commands")
        stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
        await stdin.drain()
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """Return the next answer."""
        stdout = self._process.stdout
        if stdout is None:
            raise RuntimeError(f"{self.name} takes no commands")
        async with asyncio.timeout(ANSWER_S):
            line = await stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended:\n{self.log_end()}")
        return json.loads(line)

    def cpu_s(self) -> float:
        """Return the CPU time of all threads so far, in seconds."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.returncode is not None

    def log_end(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    async def end(self) -> None:
        """End the process, by force when it takes long."""
        if self.has_ended:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(END_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def running(
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    takes_commands: bool = False,
) -> AsyncGenerator[BenchProcess]:
    """Run a process while the body runs, its log in `folder`."""
    log = folder / f"{name}.log"
    pipe = asyncio.subprocess.PIPE if takes_commands else asyncio.subprocess.DEVNULL
    with log.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(environment),
            stdin=pipe,
            stdout=pipe if takes_commands else sink,
            stderr=sink,
            limit=64 * 1024 * 1024,
        )
    found = BenchProcess(name, process, log)
    try:
        if takes_commands:
            found.greeting = await found.answer()
        yield found
    finally:
        await found.end()


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a module of this package."""
    return (sys.executable, "-m", f"benchmarks.{name}", *arguments)
