"""What ingestion has left of a collection: its passages in the database and in the index of a stopped rag."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from parley_rag.backends.edge import open_edge

_DIMENSIONS = 384
_PAGE = 1000
_PASSAGES = """
SELECT documents.name, ordinal, start_offset, end_offset, text_hash
FROM rag_chunks AS chunks JOIN rag_documents AS documents ON documents.id = chunks.document_id
WHERE documents.collection = ?
"""

Passage = tuple[str, int, int, int, str]


def stored_passages(data_dir: Path, collection: str) -> Counter[Passage]:
    """Return name, ordinal, start, end and text hash of a collection's passages, each with its count."""
    with closing(sqlite3.connect(f"file:{data_dir / 'rag.sqlite'}?mode=ro", uri=True)) as database:
        return Counter(database.execute(_PASSAGES, (collection,)))


async def indexed_passages(data_dir: Path) -> dict[str, Counter[str]]:
    """Return for each collection how many passages the index holds of each document, by its name."""
    with closing(sqlite3.connect(f"file:{data_dir / 'rag.sqlite'}?mode=ro", uri=True)) as database:
        names = dict(database.execute("SELECT id, name FROM rag_documents"))
    found: dict[str, Counter[str]] = {}
    async with open_edge(data_dir / "vectors" / "rag", _DIMENSIONS) as index:
        cursor = None
        while True:
            passages, cursor = await index.page(cursor, _PAGE)
            for passage in passages:
                name = names.get(passage.document_id, passage.document_id)
                found.setdefault(passage.collection, Counter())[name] += 1
            if cursor is None:
                return found


def per_document(passages: Counter[Passage]) -> Counter[str]:
    """Return how many passages there are by the name of their document."""
    return Counter(name for name, *_ in passages.elements())
