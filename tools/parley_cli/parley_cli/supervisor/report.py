"""How a starting stack tells what happens: to a terminal, or through a pipe to who detached it."""

import json
import os
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

from rich.console import Console
from rich.table import Table

from parley_cli.exits import CliError
from parley_cli.supervisor.processes import memory_bytes
from parley_cli.supervisor.stack_state import ProcessState, StackState

MIB = 1024 * 1024
STYLES = {"ready": "green", "starting": "yellow", "restarting": "red", "stopped": "dim", "waiting": "dim"}


class Reporter(Protocol):
    """Where a stack's news go."""

    def say(self, text: str) -> None:
        """Tell what is going on."""
        ...

    def ready(self, state: StackState) -> None:
        """Tell that every process is ready."""
        ...

    def settled(self) -> None:
        """Tell that the start is over, with what is done once after it."""
        ...


class TerminalReporter:
    """Tells the person who started the stack."""

    def __init__(self, console: Console, show_ready: Callable[[StackState], None]) -> None:
        self._console = console
        self._show_ready = show_ready

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def ready(self, state: StackState) -> None:
        self._show_ready(state)

    def settled(self) -> None:
        """Say nothing: this person has seen everything as it came."""


class PipeReporter:
    """Tells the command that waits at the other end; once it has gone, the supervisor's own log."""

    def __init__(self, descriptor: int, log: Console) -> None:
        self._pipe: IO[str] | None = os.fdopen(descriptor, "w", encoding="utf-8")
        self._log = log

    def _send(self, message: dict[str, Any]) -> None:
        if self._pipe is None:
            return
        try:
            self._pipe.write(json.dumps(message) + "\n")
            self._pipe.flush()
        except BrokenPipeError:
            self._pipe = None

    def say(self, text: str) -> None:
        self._log.print(text, markup=False, soft_wrap=True)
        self._send({"say": text})

    def ready(self, state: StackState) -> None:
        """Say nothing: who waits at the other end waits for the whole start."""

    def settled(self) -> None:
        self._send({"settled": True})
        self.close()

    def failed(self, error: CliError) -> None:
        self._log.print(f"{error.message}\n{error.detail}", markup=False, soft_wrap=True)
        self._send(
            {
                "error": {
                    "message": error.message,
                    "detail": error.detail,
                    "exit": error.exit_code,
                    "code": error.code,
                }
            }
        )
        self.close()

    def close(self) -> None:
        if self._pipe is not None:
            pipe, self._pipe = self._pipe, None
            pipe.close()


def read_reports(pipe: IO[str]) -> Iterator[dict[str, Any]]:
    """Yield what a PipeReporter sends until it closes its end."""
    for line in pipe:
        yield json.loads(line)


def process_rows(state: StackState) -> list[dict[str, Any]]:
    """Return the processes as the table and `--json` show them."""
    return [_row(process) for process in state.processes]


def _row(process: ProcessState) -> dict[str, Any]:
    return {
        "name": process.name,
        "status": process.status,
        "pid": process.pid,
        "port": process.port,
        "ready_after_s": process.ready_after_s,
        "restarts": process.restarts,
        "memory_bytes": memory_bytes(process.pid) if process.pid else None,
    }


def process_table(state: StackState) -> Table:
    """Return the table of what runs where."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("service")
    table.add_column("state")
    for name in ("pid", "port", "ready after", "memory", "restarts"):
        table.add_column(name, justify="right")
    for row in process_rows(state):
        memory = row["memory_bytes"]
        table.add_row(
            row["name"],
            f"[{STYLES[row['status']]}]{row['status']}[/]",
            str(row["pid"] or "-"),
            str(row["port"]),
            "-" if row["ready_after_s"] is None else f"{row['ready_after_s']:.2f} s",
            "-" if memory is None else f"{memory / MIB:.0f} MB",
            str(row["restarts"]),
        )
    return table
