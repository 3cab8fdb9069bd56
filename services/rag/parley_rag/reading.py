"""Reads a document in a child process with limits, so that a bad file can hurt nothing but its own upload."""

import asyncio
import json
import logging
import os
import re
import signal
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from socket import socket, socketpair
from typing import Any

from parley_rag.chunking import Chunk
from parley_rag.load.extraction import Metadata, ScannedDocument, UnreadableDocument, too_much_text
from parley_rag.load.frames import HEADER_BYTES, MAX_PICTURE_BYTES, parse_header
from parley_rag.load.limits import ReadLimits
from parley_rag.reading_processes import SPAWNED, ReadingProcess, ReadingProcesses

_log = logging.getLogger("parley.rag")
_OUT_OF_MEMORY = (b"MemoryError", b"memory allocation of", b"Out of memory")
_FAILED = "The file is damaged: the reader failed on it."
_CRASHED = "The file is damaged or needs too much memory: the reader failed on it."
_ERROR_TAIL_BYTES = 2000
_BLOCK_BYTES = 1 << 16
_OUTPUT_BYTES_PER_CHAR = 8  # four of text at most, the rest for the passages' headings
_OUTPUT_SLACK_BYTES = 1 << 20
_LISTING_BYTES_PER_ENTRY = 4096
_DRAWING_S_PER_PAGE = 2.0
_MEMBER_FILE = re.compile(r"\d{6}")
_NOTHING_RECOGNISED: Mapping[int, str] = {}


@dataclass(frozen=True, slots=True)
class ReadText:
    """A document's text, cut into passages.

    `scanned_pages` (from 1) are pictures whose text is not in it. `has_members` says that `read_archive`
    finds documents in it: an archive has no text of its own, an e-mail with attachments has both.
    """

    content_type: str
    title: str | None
    text: str
    page_starts: tuple[int, ...]
    chunks: tuple[Chunk, ...]
    metadata: Metadata = field(default_factory=Metadata)
    scanned_pages: tuple[int, ...] = ()
    has_members: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive: where its content was put, or why it was not, for people."""

    name: str
    path: Path | None
    size_bytes: int
    error: str | None


@dataclass(frozen=True, slots=True)
class ArchiveListing:
    """The files of an archive, those of archives in it too: a member is never to be unpacked itself."""

    members: tuple[Member, ...]


async def read_document(
    data: bytes,
    name: str,
    limits: ReadLimits,
    recognised: Mapping[int, str] = _NOTHING_RECOGNISED,
    processes: ReadingProcesses = SPAWNED,
) -> ReadText:
    """Return what a document says; `recognised` is the text of scanned pages, by page from 1.

    Raises:
        ScannedDocument: it holds nothing but pictures of pages, and not all of them are in `recognised`.
        UnreadableDocument: it cannot be read; the text tells people why.
        OSError: its reading process could not be started, or was lost: it may be read later.
    """
    order = {"task": "read", "name": name, "recognised": recognised}
    output_bytes = _OUTPUT_BYTES_PER_CHAR * limits.text_chars + _OUTPUT_SLACK_BYTES
    output = await _run(
        processes, (_order(order, limits), data), limits, output_bytes, too_much_text(limits.text_chars)
    )
    return await asyncio.to_thread(_parse, output)


async def read_archive(
    data: bytes, name: str, limits: ReadLimits, into: Path, processes: ReadingProcesses = SPAWNED
) -> ArchiveListing:
    """Unpack a ZIP archive, or what is attached to an e-mail, into an empty folder.

    Names of members are relative paths without surprises; files are named by numbers.

    Raises:
        UnreadableDocument: it cannot be opened at all; the text tells people why.
    """
    order = {"task": "unpack", "name": name, "into": str(into)}
    output_bytes = _LISTING_BYTES_PER_ENTRY * limits.archive_entries + _OUTPUT_SLACK_BYTES
    output = await _run(
        processes, (_order(order, limits), data), limits, output_bytes, "The archive holds too many files."
    )
    return await asyncio.to_thread(_listing, output, into)


def _listing(output: bytes, into: Path) -> ArchiveListing:
    return ArchiveListing(tuple(_member(into, *member) for member in _reply(output)["members"]))


async def answer_of(
    processes: ReadingProcesses, order: dict[str, Any], data: bytes, limits: ReadLimits, output_bytes: int
) -> dict[str, Any]:
    """Return what the reading process answers to an order of another kind; raises as `read_document` does."""
    too_much = "The answer is too long."
    return _reply(await _run(processes, (_order(order, limits), data), limits, output_bytes, too_much))


async def render_pages(
    data: bytes, pages: Sequence[int], limits: ReadLimits, processes: ReadingProcesses = SPAWNED
) -> AsyncGenerator[tuple[int, bytes]]:
    """Yield pages (from 1) of a PDF as grey PNG pictures, drawn while they are asked for.

    Raises:
        UnreadableDocument: a page cannot be drawn, or takes too long; the text tells people why.
    """
    order = {"task": "draw", "pages": list(pages)}
    with _nowhere() as errors:
        async with _child(processes, errors) as child:
            async with _time_limit(limits):
                await _feed(child.writer, _order(order, limits, _DRAWING_S_PER_PAGE * len(pages)), data)
            while True:
                async with _time_limit(limits):
                    drawn = await _picture(child.reader)
                if drawn is None:
                    break
                yield drawn
            async with _time_limit(limits):
                exit_code = await child.process.wait()
            if exit_code:
                raise UnreadableDocument(_FAILED)


@contextmanager
def _nowhere() -> Generator[int]:
    """Open a file that keeps nothing of what is written."""
    file = os.open(os.devnull, os.O_WRONLY)
    try:
        yield file
    finally:
        os.close(file)


async def _picture(stream: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """Return the next picture; None when there are no more."""
    try:
        page, length = parse_header(await stream.readexactly(HEADER_BYTES))
        if length > MAX_PICTURE_BYTES:
            raise UnreadableDocument("A page of the PDF is too large to be drawn.")
        content = await stream.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    if not page:
        raise UnreadableDocument(content.decode(errors="replace"))
    return page, content


@asynccontextmanager
async def _time_limit(limits: ReadLimits) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(limits.timeout_s):
            yield
    except TimeoutError:
        raise UnreadableDocument(_too_slow(limits)) from None


def _too_slow(limits: ReadLimits) -> str:
    """Return what people are told about a file that takes too long."""
    return f"Reading the file took longer than {limits.timeout_s:.0f} seconds."


@dataclass(frozen=True, slots=True)
class _Child:
    """A reading process and the two directions of its socket."""

    process: ReadingProcess
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@asynccontextmanager
async def _child(processes: ReadingProcesses, errors: int) -> AsyncGenerator[_Child]:
    """Run a reading process; it ends with the block."""
    ours, theirs = socketpair()
    with ours, theirs:
        process = await processes.start(theirs, errors)
        theirs.close()  # else it would never be heard to end
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            try:
                yield _Child(process, reader, writer)
            finally:
                writer.transport.abort()  # nothing is left to say, and the socket is closed here
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _order(order: dict[str, Any], limits: ReadLimits, more_cpu_s: float = 0.0) -> bytes:
    cpu_s = int(limits.timeout_s + more_cpu_s) + 1
    return json.dumps({**order, "limits": asdict(limits), "cpu_s": cpu_s}).encode() + b"\n"


async def _run(
    processes: ReadingProcesses, parts: Sequence[bytes], limits: ReadLimits, output_bytes: int, too_much: str
) -> bytes:
    """Return what the reading process answers."""
    ours, theirs = socketpair()
    with ours, theirs:
        async with _time_limit(limits), _child(processes, theirs.fileno()) as child:
            theirs.close()
            output, errors = await _communicate(child, ours, parts, output_bytes)
    exit_code = child.process.returncode
    if len(output) > output_bytes:
        raise UnreadableDocument(too_much)
    if exit_code:
        _log.warning(
            "reading process failed",
            extra={"exit_code": exit_code, "stderr": errors.decode(errors="replace")},
        )
        raise UnreadableDocument(_why(exit_code, errors, limits))
    return output


def _why(exit_code: int, errors: bytes, limits: ReadLimits) -> str:
    if any(sign in errors for sign in _OUT_OF_MEMORY):
        return "The file needs too much memory to be read."
    if -exit_code == signal.SIGXCPU:
        return _too_slow(limits)
    return _CRASHED if exit_code < 0 else _FAILED


async def _communicate(
    child: _Child, errors: socket, parts: Sequence[bytes], output_bytes: int
) -> tuple[bytes, bytes]:
    """Return what the process wrote and the end of its complaints; writing too much kills it."""
    complaints, complaining = await asyncio.open_unix_connection(sock=errors)
    try:
        async with asyncio.TaskGroup() as group:
            output = group.create_task(_output(child, output_bytes))
            tail = group.create_task(_tail(complaints))
            group.create_task(_feed(child.writer, *parts))
    finally:
        complaining.transport.abort()
    await child.process.wait()
    return output.result(), tail.result()


async def _feed(stream: asyncio.StreamWriter, *parts: bytes) -> None:
    with suppress(ConnectionError):  # it ended early; its exit code says why
        stream.writelines(parts)
        await stream.drain()
        stream.write_eof()


async def _output(child: _Child, limit_bytes: int) -> bytes:
    output = bytearray()
    with suppress(ConnectionError):  # it ended before it had read everything
        while block := await child.reader.read(_BLOCK_BYTES):
            output += block
            if len(output) > limit_bytes:
                with suppress(ProcessLookupError):
                    child.process.kill()
                break
    return bytes(output)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    tail = b""
    while block := await stream.read(_BLOCK_BYTES):
        tail = (tail + block)[-_ERROR_TAIL_BYTES:]
    return tail


def _reply(output: bytes) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(output)
    if "unreadable" in reply and "scanned_pages" in reply:
        raise ScannedDocument(reply["unreadable"], tuple(reply["scanned_pages"]))
    if "unreadable" in reply:
        raise UnreadableDocument(reply["unreadable"])
    return reply


def _parse(output: bytes) -> ReadText:
    reply = _reply(output)
    return ReadText(
        content_type=reply["content_type"],
        title=reply["title"],
        text=reply["text"],
        page_starts=tuple(reply["page_starts"]),
        chunks=tuple(Chunk(*chunk) for chunk in reply["chunks"]),
        metadata=Metadata(*reply["metadata"]),
        scanned_pages=tuple(reply["scanned_pages"]),
        has_members=reply["has_members"],
    )


def _member(into: Path, name: str, file: str | None, size_bytes: int, error: str | None) -> Member:
    """Return a member; the reading process is not believed where its file is."""
    if file is None:
        return Member(name, None, size_bytes, error or _FAILED)
    path = into / file
    if not _MEMBER_FILE.fullmatch(file) or path.is_symlink() or not path.is_file():
        return Member(name, None, size_bytes, _FAILED)
    return Member(name, path, path.stat().st_size, None)
