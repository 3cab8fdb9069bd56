"""Reading processes that are forked from one with the parsers loaded: they start in a few milliseconds."""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count

from parley_rag.reading_processes import ReadingProcess, reader_environment

_MESSAGE_BYTES = 100


@dataclass(slots=True)
class _Child:
    """A forked reading process."""

    number: int
    control: socket.socket
    ended: asyncio.Future[int]

    @property
    def returncode(self) -> int | None:
        return self.ended.result() if self.ended.done() else None

    def kill(self) -> None:
        with suppress(OSError):  # with the nursery go its children
            self.control.send(f"kill {self.number}".encode())

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)


class Nursery:
    """Starts reading processes by forking one; that one is started on first use, and anew when it dies."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._children: dict[int, asyncio.Future[int]] = {}
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._opening = asyncio.Lock()

    async def start(self, talk: socket.socket, errors: int) -> ReadingProcess:
        """Fork a reading process; OSError when that cannot be."""
        async with self._opening:
            control = self._control or await self._open()
            number, files = next(self._numbers), [talk.fileno(), talk.fileno(), errors]
            try:
                socket.send_fds(control, [f"start {number}".encode()], files)
            except OSError:  # it has died since the last child
                self._lose()
                control = await self._open()
                socket.send_fds(control, [f"start {number}".encode()], files)
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._children[number] = ended
        return _Child(number, control, ended)

    async def close(self) -> None:
        """End the nursery and its children."""
        self._lose()
        if self._process is not None:
            await self._process.wait()

    async def _open(self) -> socket.socket:
        if self._process is not None:
            await self._process.wait()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ExitStack() as opened:
            opened.enter_context(ours)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "parley_rag.load.nursery", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=reader_environment(),
            )
            opened.pop_all()
        ours.setblocking(False)
        asyncio.get_running_loop().add_reader(ours, self._hear, ours)
        self._control = ours
        return ours

    def _hear(self, control: socket.socket) -> None:
        """Note how a child ended; nothing more to hear means that the nursery is gone."""
        try:
            message = control.recv(_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._lose()
            return
        number, exit_code = map(int, message.split())
        if (ended := self._children.pop(number, None)) is not None and not ended.done():
            ended.set_result(exit_code)

    def _lose(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        for ended in self._children.values():
            if not ended.done():
                ended.set_exception(ChildProcessError("The reading processes are gone."))
        self._children.clear()


@asynccontextmanager
async def open_nursery() -> AsyncGenerator[Nursery]:
    """Run a nursery for as long as the block lasts."""
    nursery = Nursery()
    try:
        yield nursery
    finally:
        await nursery.close()
