"""What a supervisor writes down about its stack, for other commands and for the next start."""

import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

Phase = Literal["starting", "ready", "stopping"]
Status = Literal["waiting", "starting", "ready", "restarting", "stopped"]


@dataclass(frozen=True, kw_only=True)
class ProcessState:
    """One process of the stack."""

    name: str
    pid: int | None
    identity: str | None
    port: int
    status: Status
    ready_after_s: float | None
    restarts: int


@dataclass(frozen=True, kw_only=True)
class StackState:
    """The stack as its supervisor last knew it."""

    pid: int
    identity: str | None
    phase: Phase
    url: str
    nats_url: str
    redis_url: str
    started_at_s: float
    processes: tuple[ProcessState, ...]


def state_path(run_dir: Path) -> Path:
    """Return where the state stands."""
    return run_dir / "supervisor.json"


def write_state(run_dir: Path, state: StackState) -> None:
    """Replace the state in one step; a reader sees the old one or the new one."""
    draft = run_dir / ".supervisor.json.draft"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(state), file, indent=1)
    draft.replace(state_path(run_dir))


def read_state(run_dir: Path) -> StackState | None:
    """Return the state, None when there is none or it is damaged. OSError when it may not be read."""
    try:
        raw: dict[str, Any] = json.loads(state_path(run_dir).read_text(encoding="utf-8"))
        processes = tuple(ProcessState(**process) for process in raw.pop("processes"))
        return StackState(processes=processes, **raw)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def remove_state(run_dir: Path) -> None:
    """Forget a stack that has stopped."""
    state_path(run_dir).unlink(missing_ok=True)


class SupervisorLock:
    """Held for a supervisor's life; the system frees it however the supervisor dies."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "supervisor.lock"
        self._file: BinaryIO | None = None

    def take(self) -> bool:
        """Return whether the lock is ours now."""
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let another supervisor start."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_supervised(run_dir: Path) -> bool:
    """Return whether a supervisor lives that keeps its state here."""
    lock = SupervisorLock(run_dir)
    with contextlib.suppress(FileNotFoundError):
        if lock.take():
            lock.release()
        else:
            return True
    return False
