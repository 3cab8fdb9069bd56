"""Reads a document in a child process with limits, so that a bad file can hurt nothing but its own upload."""

import asyncio
import json
import logging
import sys
from dataclasses import dataclass

from parley_rag.chunking import Chunk
from parley_rag.load.extraction import UnreadableDocument

_log = logging.getLogger("parley.rag")
_OUT_OF_MEMORY = b"MemoryError"
_ERROR_TAIL_BYTES = 2000


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
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(limits.timeout_s):
            output, errors = await process.communicate(data)
    except TimeoutError:
        raise UnreadableDocument(
            f"Reading the file took longer than {limits.timeout_s:.0f} seconds."
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        _log.warning(
            "reading process failed",
            extra={
                "exit_code": process.returncode,
                "stderr": errors[-_ERROR_TAIL_BYTES:].decode(errors="replace"),
            },
        )
        if _OUT_OF_MEMORY in errors:
            raise UnreadableDocument("The file needs too much memory to be read.")
        raise UnreadableDocument("The file is damaged: the reader failed on it.")
    return await asyncio.to_thread(_parse, output, limits)


def _parse(output: bytes, limits: ReadLimits) -> ReadText:
    reply = json.loads(output)
    if "unreadable" in reply:
        raise UnreadableDocument(reply["unreadable"])
    if len(reply["text"]) > limits.text_chars:
        raise UnreadableDocument(f"The file holds more than {limits.text_chars:,} characters of text.")
    return ReadText(
        content_type=reply["content_type"],
        title=reply["title"],
        text=reply["text"],
        page_starts=tuple(reply["page_starts"]),
        chunks=tuple(Chunk(*chunk) for chunk in reply["chunks"]),
    )
