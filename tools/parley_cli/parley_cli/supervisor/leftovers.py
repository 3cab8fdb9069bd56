"""Processes that outlived their supervisor: they keep answering, and the next start stops them first.

Two ways to know one: its pid and start time stand in the state, or (where there is /proc) it carries the mark
that the supervisor puts into the environment of all it starts.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from parley_cli.supervisor.processes import all_pids, command_line, has_environment, identity
from parley_cli.supervisor.stack_state import read_state

MARK = "PARLEY_STACK"
POLL_S = 0.05
KILL_WAIT_S = 5.0


def find_leftovers(data_dir: Path) -> dict[int, str]:
    """Return pid to identity of every process of a stack whose supervisor is gone."""
    found: dict[int, str] = {}
    state = read_state(data_dir / "run")
    for process in state.processes if state else ():
        if process.pid and process.identity and identity(process.pid) == process.identity:
            found[process.pid] = process.identity
    own = {os.getpid(), os.getppid()}
    for pid in all_pids():
        if pid not in own and has_environment(pid, MARK, str(data_dir)) and (now := identity(pid)):
            found[pid] = now
    return found


def _is_broker(pid: int) -> bool:
    line = command_line(pid)
    return "nats-server" in line or "redis-server" in line


def _signal_all(pids: dict[int, str], number: signal.Signals) -> None:
    for pid, known in pids.items():
        if identity(pid) == known:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _wait_gone(pids: dict[int, str], timeout_s: float) -> dict[int, str]:
    """Return those that are still there when the time is up."""
    until_s = time.monotonic() + timeout_s
    while (alive := {pid: known for pid, known in pids.items() if identity(pid) == known}) and (
        time.monotonic() < until_s
    ):
        time.sleep(POLL_S)
    return alive


def stop_leftovers(data_dir: Path, grace_s: float, say: Callable[[str], None]) -> int:
    """Stop what a dead supervisor left behind, services before brokers; return how many there were."""
    leftovers = find_leftovers(data_dir)
    if leftovers:
        say(f"Stopping {len(leftovers)} processes that an earlier supervisor left behind.")
    services = {pid: known for pid, known in leftovers.items() if not _is_broker(pid)}
    brokers = {pid: known for pid, known in leftovers.items() if pid not in services}
    for group in (services, brokers):
        _signal_all(group, signal.SIGTERM)
        stubborn = _wait_gone(group, grace_s)
        _signal_all(stubborn, signal.SIGKILL)
        _wait_gone(stubborn, KILL_WAIT_S)
    return len(leftovers)
