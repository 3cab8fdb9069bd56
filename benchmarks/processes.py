"""The processes of a benchmark: started, commanded, their CPU time read, ended."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.commands import FAILED, NUMBER

ANSWER_S = 120.0
END_S = 15.0


class BenchProcess:
    """A running process. `ask` is for those that serve commands (`commands.py`)."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.greeting: dict[str, Any] = {}
        self._process = process
        self._log = log
        self._asked = 0

    async def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Give a command and return its answer; RuntimeError when it failed or the process has died."""
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError(f"{self.name} takes no commands")
        self._asked += 1
        stdin.write(json.dumps({NUMBER: self._asked, "do": do, **fields}).encode() + b"\n")
        await stdin.drain()
        while (answer := await self.answer())[NUMBER] != self._asked:
            continue
        if FAILED in answer:
            raise RuntimeError(f"{self.name} failed to {do}: {answer[FAILED]}")
        return answer

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

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def cpu_s(self) -> float:
        """Return the CPU time of all threads so far, in seconds."""
        return _cpu_s(self.pid)

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.returncode is not None

    def log_end(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    async def end(self) -> None:
        """End the process, by force when it takes long."""
        if not self.has_ended:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await self._process.wait()
        # The session was made for the process alone; what is left of it are its own children.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
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
            start_new_session=True,
            limit=64 * 1024 * 1024,
        )
    found = BenchProcess(name, process, log)
    try:
        if takes_commands:
            found.greeting = await found.answer()
        yield found
    finally:
        await found.end()


def tree_cpu_s(pid: int) -> float:
    """Return the CPU time of a session leader and its session's living processes, in seconds."""
    return sum(map(_cpu_s, _tree(pid)))


def tree_memory_kib(pid: int) -> dict[str, int]:
    """Return `rss` of a session leader and its session, and `pss`, which shares out what they share."""
    found = {"rss": 0, "pss": 0}
    for one in _tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii").splitlines():
                name, _, value = line.partition(":")
                if name.lower() in found:
                    found[name.lower()] += int(value.split()[0])
    return found


def _cpu_s(pid: int) -> float:
    spent_ns = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        # A thread may end between being listed and being read.
        with contextlib.suppress(OSError):
            spent_ns += int(task.read_text(encoding="ascii").split()[0])
    return spent_ns / 1e9


def _tree(pid: int) -> list[int]:
    """Return the processes of the session that a process leads: itself and its children's children."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in brackets, may hold blanks; state, parent, group and session follow it.
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == pid:
                found.append(int(stat.parent.name))
    return found


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a module of this package."""
    return (sys.executable, "-m", f"benchmarks.{name}", *arguments)
