"""The reading process, apart since parsers of untrusted files crash, loop and eat memory: limits come first.

On stdin an order in a line, then the document; on stdout one JSON object, or pictures when it is to draw.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parley_rag.chunking import ChunkSize, cut
from parley_rag.load.confinement import confine
from parley_rag.load.extraction import ScannedDocument, UnreadableDocument, too_much_text
from parley_rag.load.frames import frame
from parley_rag.load.limits import ReadLimits
from parley_rag.load.loaders import load


def _read(data: bytes, name: str, limits: ReadLimits, recognised: dict[str, str]) -> dict[str, object]:
    kind, extraction = load(data, name, limits, {int(page): text for page, text in recognised.items()})
    if len(extraction.text) > limits.text_chars:
        raise UnreadableDocument(too_much_text(limits.text_chars))
    chunks = cut(extraction, ChunkSize(target_chars=limits.passage_chars))
    metadata = extraction.metadata
    return {
        "content_type": kind.value,
        "title": extraction.title,
        "text": extraction.text,
        "page_starts": extraction.page_starts,
        "chunks": [[chunk.start, chunk.end, chunk.page, chunk.heading, chunk.context] for chunk in chunks],
        "metadata": [metadata.author, metadata.language, metadata.written_at_ms, metadata.modified_at_ms],
        "scanned_pages": extraction.scanned_pages,
        "has_members": extraction.has_members,
    }


def _unpack(data: bytes, name: str, limits: ReadLimits, into: str) -> dict[str, object]:
    from parley_rag.load.members import unpack  # noqa: PLC0415  only what is needed is loaded

    members = unpack(data, name, limits, Path(into))
    return {"members": [[member.name, member.file, member.size_bytes, member.error] for member in members]}


def _draw(data: bytes, pages: list[int], limits: ReadLimits) -> Iterator[bytes]:
    from parley_rag.load.pdf_file import pictures  # noqa: PLC0415  only what is needed is loaded

    try:
        for page, picture in pictures(data, pages, limits.pages):
            yield frame(page, picture)
    except UnreadableDocument as error:
        yield frame(0, str(error).encode())


def _result(task: str, order: dict[str, Any], data: bytes, limits: ReadLimits) -> dict[str, object]:
    try:
        if task == "unpack":
            return _unpack(data, order["name"], limits, order["into"])
        if task == "query":
            from parley_rag.load.table_query import answer_query  # noqa: PLC0415  only what is needed is loaded

            return answer_query(data, order["name"], order["sql"], limits)
        return _read(data, order["name"], limits, order["recognised"])
    except ScannedDocument as error:
        return {"unreadable": str(error), "scanned_pages": error.pages}
    except UnreadableDocument as error:
        return {"unreadable": str(error)}


def main() -> None:
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    task, limits = str(order["task"]), ReadLimits(**order["limits"])
    confine(
        memory_bytes=limits.memory_bytes,
        cpu_s=order["cpu_s"],
        file_bytes=limits.inflated_bytes if task == "unpack" else 0,
    )
    data = sys.stdin.buffer.read()
    if task == "draw":
        for picture in _draw(data, order["pages"], limits):
            sys.stdout.buffer.write(picture)
            sys.stdout.buffer.flush()
        return
    result = _result(task, order, data, limits)
    # A lone surrogate becomes its JSON escape.
    sys.stdout.buffer.write(json.dumps(result, ensure_ascii=False).encode(errors="backslashreplace"))


if __name__ == "__main__":
    main()
