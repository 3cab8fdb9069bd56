"""The reading process: a document on stdin, its text and passages as one JSON object on stdout.

It is its own process because parsers of untrusted files crash, loop and eat memory; limits are set before
reading.
"""

import json
import resource
import sys

from parley_rag.chunking import ChunkSize, cut
from parley_rag.load.extraction import Extraction, UnreadableDocument, too_much_text
from parley_rag.load.sniff import DocumentKind, sniff


def load(data: bytes, name: str) -> tuple[DocumentKind, Extraction]:
    """Return the kind and the text of a document; loaders are imported when their kind turns up."""
    kind = sniff(data, name)
    match kind:
        case DocumentKind.PDF:
            from parley_rag.load.pdf import load_pdf as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.HTML:
            from parley_rag.load.html import load_html as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.MARKDOWN:
            from parley_rag.load.markdown import load_markdown as loader  # noqa: PLC0415  only what is read is loaded
        case DocumentKind.PLAIN:
            from parley_rag.load.plain import load_plain as loader  # noqa: PLC0415  only what is read is loaded
    extraction = loader(data)
    if not extraction.text.strip():
        raise UnreadableDocument("The file holds no text.")
    return kind, extraction


def _read(data: bytes, name: str, target_chars: int, text_chars: int) -> dict[str, object]:
    try:
        kind, extraction = load(data, name)
    except UnreadableDocument as error:
        return {"unreadable": str(error)}
    if len(extraction.text) > text_chars:
        return {"unreadable": too_much_text(text_chars)}
    chunks = cut(extraction, ChunkSize(target_chars=target_chars))
    return {
        "content_type": kind.value,
        "title": extraction.title,
        "text": extraction.text,
        "page_starts": extraction.page_starts,
        "chunks": [[chunk.start, chunk.end, chunk.page, chunk.heading] for chunk in chunks],
    }


def main() -> None:
    name, memory_bytes, cpu_s, target_chars, text_chars = sys.argv[1], *map(int, sys.argv[2:6])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    result = _read(sys.stdin.buffer.read(), name, target_chars, text_chars)
    # A lone surrogate becomes its JSON escape.
    sys.stdout.buffer.write(json.dumps(result, ensure_ascii=False).encode(errors="backslashreplace"))


if __name__ == "__main__":
    main()
