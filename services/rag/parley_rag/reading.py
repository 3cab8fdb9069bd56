"""Reads a document in a child process with limits, so that a bad file can hurt nothing but its own upload."""

import asyncio
import json
import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass

from parley_rag.chunking import Chunk
from parley_rag.load.extraction import UnreadableDocument, too_much_text

_log = logging.getLogger("parley.rag")
_OUT_OF_MEMORY = b"MemoryError"
_ERROR_TAIL_BYTES = 2000
_BLOCK_BYTES = 1 << 16
_OUTPUT_BYTES_PER_CHAR = 8  # four of text at most, the rest for the passages' headings
_OUTPUT_SLACK_BYTES = 1 << 20
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR")


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading one document may take."""

    timeout_s: float = 120.0
    memory_bytes: int = 1 << 30
    text_chars: int = 50_000_000
    passage_chars: int = 900


@dataclass(frozen=True, slots=True)
class ReadText:
    """A document's text, cut into passages."""

    content_type: str
    title: str | None
    text: str
    page_starts: tuple[int, ...]
    chunks: tuple[Chunk, ...]


async def read_document(data: bytes, name: str, limits: ReadLimits) -> ReadText:
    """Return what a document says; UnreadableDocument tells people why it cannot be read."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley_rag.load", name),
        *(str(limits.memory_bytes), str(int(limits.timeout_s) + 1), str(limits.passage_chars)),
        str(limits.text_chars),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # What a crafted file might make of the reader finds no keys.
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
    )
    output_bytes = _OUTPUT_BYTES_PER_CHAR * limits.text_chars + _OUTPUT_SLACK_BYTES
    try:
        async with asyncio.timeout(limits.timeout_s):
            output, errors = await _communicate(process, data, output_bytes)
    except TimeoutError:
        raise UnreadableDocument(
            f"Reading the file took longer than {limits.timeout_s:.0f} seconds."
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if len(output) > output_bytes:
        raise UnreadableDocument(too_much_text(limits.text_chars))
    if process.returncode:
        _log.warning(
            "reading process failed",
            extra={
                "exit_code": process.returncode,
                "stderr": errors.decode(errors="replace"),
            },
        )
        if _OUT_OF_MEMORY in errors:
            raise UnreadableDocument("The file needs too much memory to be read.")
        raise UnreadableDocument("The file is damaged: the reader failed on it.")
    return await asyncio.to_thread(_parse, output)


async def _communicate(
    process: asyncio.subprocess.Process, data: bytes, output_bytes: int
) -> tuple[bytes, bytes]:
    """Return what the process wrote and the end of its complaints; writing too much kills it."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise RuntimeError("the reading process was started without pipes")
    async with asyncio.TaskGroup() as group:
        output = group.create_task(_output(process, process.stdout, output_bytes))
        errors = group.create_task(_tail(process.stderr))
        group.create_task(_feed(process.stdin, data))
    await process.wait()
    return output.result(), errors.result()


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(ConnectionError):  # it ended early; its exit code says why
        stream.write(data)
        await stream.drain()
        stream.close()
        await stream.wait_closed()


async def _output(
    process: asyncio.subprocess.Process, stream: asyncio.StreamReader, limit_bytes: int
) -> bytes:
    output = bytearray()
    while block := await stream.read(_BLOCK_BYTES):
        output += block
        if len(output) > limit_bytes:
            with suppress(ProcessLookupError):
                process.kill()
            break
    return bytes(output)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    tail = b""
    while block := await stream.read(_BLOCK_BYTES):
        tail = (tail + block)[-_ERROR_TAIL_BYTES:]
    return tail


def _parse(output: bytes) -> ReadText:
    reply = json.loads(output)
    if "unreadable" in reply:
        raise UnreadableDocument(reply["unreadable"])
    return ReadText(
        content_type=reply["content_type"],
        title=reply["title"],
        text=reply["text"],
        page_starts=tuple(reply["page_starts"]),
        chunks=tuple(Chunk(*chunk) for chunk in reply["chunks"]),
    )
