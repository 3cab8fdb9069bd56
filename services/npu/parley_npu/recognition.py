"""Reads the text on pictures by the `tesseract` program (Apache-2.0), where that is installed."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Recognise, RecognisedText

PROGRAM = "tesseract"
# tesseract takes what is no picture for a list of file names and reads those: nothing else may reach it.
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
LANGUAGE = re.compile(r"[A-Za-z][A-Za-z_]{1,31}")
MEMORY_BYTES = 2 << 30
MAX_TEXT_BYTES = 1 << 20
LIST_S = 10.0
LIMITED = str(Path(__file__).with_name("limited_program.py"))


class TextReader:
    """Runs one process a picture, with limits on memory, CPU time, files and output."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s

    async def recognise(self, request: Recognise) -> RecognisedText:
        """Return the text of a picture, empty when there is none.

        Raises:
            ParleyError: `unavailable` without the program or a language, `invalid_request` for what is no
                picture, `timeout`, `unreadable_document` when the program fails.
        """
        program = shutil.which(PROGRAM)
        if program is None:
            raise ParleyError(
                ErrorCode.UNAVAILABLE, "Pictures of text cannot be read: tesseract is not installed here."
            )
        if not request.image.startswith(PICTURES):
            raise ParleyError(ErrorCode.INVALID_REQUEST, "The image is neither PNG nor JPEG.", field="image")
        languages = await self._usable(program, request.languages)
        arguments = [program, "stdin", "stdout", "-l", "+".join(languages)]
        code, output = await _run(arguments, request.image, self._limit_s)
        if code != 0:
            raise ParleyError(ErrorCode.UNREADABLE_DOCUMENT, "The picture's text could not be read.")
        return RecognisedText(text=output.decode(errors="replace").strip("\f\n "), engine=PROGRAM)

    async def _usable(self, program: str, wanted: Sequence[str]) -> list[str]:
        """Return those of the languages that are installed, in their order: they go into a command line."""
        code, output = await _run([program, "--list-langs"], b"", LIST_S)
        # The first line is a heading; a folder in it may hold anything.
        installed = output.decode(errors="replace").splitlines()[1:] if code == 0 else []
        usable = [language for language in wanted if LANGUAGE.fullmatch(language) and language in installed]
        if not usable:
            raise ParleyError(
                ErrorCode.UNAVAILABLE,
                f"tesseract is here without {', '.join(map(repr, wanted))}; it has "
                f"{', '.join(installed) or 'no language'}.",
            )
        return usable


async def _run(arguments: Sequence[str], sent: bytes, limit_s: float) -> tuple[int, bytes]:
    """Run a program without a shell and return its exit code and output; `timeout` when it takes too long."""
    limits = (str(MEMORY_BYTES), str(int(limit_s) + 1))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        LIMITED,
        *limits,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        # One thread a page: pages side by side use the cores better than one page does.
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "OMP_THREAD_LIMIT": "1"}
        | {name: value for name, value in os.environ.items() if name == "TESSDATA_PREFIX"},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limit_s):
            return await _spoken_with(process, sent)
    except TimeoutError:
        raise ParleyError(ErrorCode.TIMEOUT, f"A picture took more than {limit_s:g} s to read.") from None
    finally:
        _kill(process)
        await process.wait()


async def _spoken_with(process: asyncio.subprocess.Process, sent: bytes) -> tuple[int, bytes]:
    """Feed and read side by side: a program may write before it has read everything."""
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.TaskGroup() as group:
        feeding = group.create_task(_feed(process.stdin, sent))
        output = b""
        while len(output) <= MAX_TEXT_BYTES and (part := await process.stdout.read(1 << 16)):
            output += part
        if len(output) > MAX_TEXT_BYTES:
            _kill(process)
        await feeding
    return await process.wait(), output


def _kill(process: asyncio.subprocess.Process) -> None:
    """End the process and whatever of its session it has left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _feed(stdin: asyncio.StreamWriter, sent: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        stdin.write(sent)
        await stdin.drain()
    stdin.close()
