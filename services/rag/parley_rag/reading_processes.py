"""How reading processes are started: each as a Python of its own."""

import asyncio
import os
import sys
from socket import socket
from typing import Protocol

_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR")


class ReadingProcess(Protocol):
    """A process that reads one document."""

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; None while it runs. ChildProcessError as for `wait`."""
        ...

    def kill(self) -> None:
        """End it; ProcessLookupError when it has ended."""
        ...

    async def wait(self) -> int:
        """Return its exit code once it has ended; ChildProcessError when it was lost and nobody knows how."""
        ...


class ReadingProcesses(Protocol):
    """Starts reading processes."""

    async def start(self, talk: socket, errors: int) -> ReadingProcess:
        """Start one that is spoken to over a socket; complaints go to the file descriptor `errors`."""
        ...


class SpawnedProcesses:
    """Starts a Python for each document, which takes longer than reading most of them."""

    async def start(self, talk: socket, errors: int) -> ReadingProcess:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parley_rag.load"),
            stdin=talk.fileno(),
            stdout=talk.fileno(),
            stderr=errors,
            env=reader_environment(),
        )


SPAWNED = SpawnedProcesses()


def reader_environment() -> dict[str, str]:
    """Return the environment of readers: what a crafted file might make of one finds no keys."""
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
