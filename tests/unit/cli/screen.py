"""A terminal as people look at it: a process runs on it, and the test sees what stands on its screen."""

import asyncio
import os
import pty
import sys
import termios
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pyte

COLUMNS, LINES = 60, 24
CTRL_C = b"\x03"
ON_TERMINAL = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.executable, sys.argv[2:])"
"""Makes the terminal the controlling one, so that its keys become signals."""


class Screen:
    """What one process shows, and the keys it is given."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self._master = master
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._is_changed = asyncio.Event()
        self._is_over = asyncio.Event()

    @property
    def lines(self) -> list[str]:
        """Return the lines on the screen, without the blank ones at its end."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    def read(self) -> None:
        """Take what the process has written."""
        try:
            self._stream.feed(os.read(self._master, 65_536))
        except OSError:  # the process has closed its end
            asyncio.get_running_loop().remove_reader(self._master)
            self._is_over.set()
        self._is_changed.set()

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._master, keys)

    async def until(self, holds: Callable[[list[str]], bool]) -> None:
        """Wait for a condition on the lines; the caller has the time limit."""
        while not holds(self.lines):
            assert not self._is_over.is_set(), self.lines
            self._is_changed.clear()
            await self._is_changed.wait()

    async def ended(self) -> int:
        """Wait until the process has closed the terminal; return its exit code."""
        await self._is_over.wait()
        return await self.process.wait()


@asynccontextmanager
async def on_a_screen(environment: Mapping[str, str], folder: Path, *words: str) -> AsyncGenerator[Screen]:
    """Run `parley` on a terminal of its own while the body does, at most for 30 seconds."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (LINES, COLUMNS))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ON_TERMINAL, str(slave), sys.executable, "-m", "parley_cli", *words),
        env={**os.environ, "TERM": "xterm", "COLUMNS": "", "LINES": "", **environment},
        cwd=folder,
        pass_fds=(slave,),
    )
    os.close(slave)
    screen = Screen(process, master)
    asyncio.get_running_loop().add_reader(master, screen.read)
    try:
        async with asyncio.timeout(30):
            yield screen
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
