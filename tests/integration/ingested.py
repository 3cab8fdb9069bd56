"""What ingestion has left of a collection: its passages in the database and in the index of a stopped rag."""

from collections import Counter

from parley_rag.backends.edge import open_edge

from tests.integration.kept_tables import KeptTables

_DIMENSIONS = 384
_PAGE = 1000
_PASSAGES = """
SELECT documents.name, ordinal, start_offset, end_offset, text_hash, documents.collection
FROM rag_chunks AS chunks JOIN rag_documents AS documents ON documents.id = chunks.document_id
"""
_NAMES = "SELECT id, name FROM rag_documents"

Passage = tuple[str, int, int, int, str]


def stored_passages(tables: KeptTables, collection: str) -> Counter[Passage]:
    """Return name, ordinal, start, end and text hash of a collection's passages, each with its count."""
    return Counter(row[:-1] for row in tables.rows("rag", _PASSAGES) if row[-1] == collection)


async def indexed_passages(tables: KeptTables) -> dict[str, Counter[str]]:
    """Return for each collection how many passages the index holds of each document, by its name."""
    names: dict[str, str] = dict(tables.rows("rag", _NAMES))
    found: dict[str, Counter[str]] = {}
    async with open_edge(tables.data_dir / "vectors" / "rag", _DIMENSIONS) as index:
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
