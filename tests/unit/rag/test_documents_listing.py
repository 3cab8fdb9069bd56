"""Lists through filters, collections page by page, and what a collection holds."""

import pytest
from parley_contracts.errors import ParleyError
from parley_contracts.rag import (
    CollectionStatistics,
    CreateCollection,
    DocumentStatus,
    ListCollections,
    ReadCollection,
)
from parley_rag.tables import DocumentRow
from sqlalchemy import update

from tests.unit.rag.library import OTHER, OWNER, Library

GERMAN = b'<html lang="de-AT"><head><title>Pumpe</title></head><body><p>Die Pumpe.</p></body></html>'


@pytest.fixture
async def shelf(library: Library) -> Library:
    await library.upload(GERMAN, "Pumpe 100%.html")
    await library.upload(b"The pump moves water.", "pump.txt", collection="manuals")
    await library.upload(b"MZ\x90\x00", "setup.txt")
    await library.create(b"Not put yet.", "waiting.txt")
    await library.upload(b"Of somebody else.", "pump.txt", owner=OTHER)
    return library


ADMITTED: list[tuple[dict[str, object], set[str]]] = [
    ({"statuses": (DocumentStatus.READY,)}, {"Pumpe 100%.html", "pump.txt"}),
    ({"statuses": (DocumentStatus.QUEUED, DocumentStatus.FAILED)}, {"setup.txt", "waiting.txt"}),
    ({"content_types": ("text/html",)}, {"Pumpe 100%.html"}),
    ({"name_part": "PUMP"}, {"Pumpe 100%.html", "pump.txt"}),
    ({"name_part": "%"}, {"Pumpe 100%.html"}),
    ({"name_part": "_"}, set[str]()),
    ({"collection": "manuals"}, {"pump.txt"}),
    ({"collections": ("manuals",)}, {"pump.txt"}),
    (
        {"collections": ("manuals", "default"), "statuses": (DocumentStatus.READY,)},
        {"Pumpe 100%.html", "pump.txt"},
    ),
    ({"collection": "manuals", "content_types": ("text/html",)}, set[str]()),
    ({"archive_id": "none"}, set[str]()),
]
"""What is asked for, and the names of what is then listed."""


async def test_a_list_holds_what_its_filters_admit(shelf: Library) -> None:
    for wanted, names in ADMITTED:
        assert set(await shelf.listed(**wanted)) == names, wanted


async def test_documents_are_found_by_the_date_that_they_say_else_by_their_upload(library: Library) -> None:
    dated = await library.upload(b"Old.", "old.txt")
    async with library.database.writing() as session:
        await session.execute(update(DocumentRow).values(created_at_ms=5000))
        await session.execute(
            update(DocumentRow).where(DocumentRow.id == dated.id).values(written_at_ms=1000)
        )
    await library.upload(b"New.", "new.txt")
    assert set(await library.listed(dated_before_ms=1001)) == {"old.txt"}
    assert set(await library.listed(dated_from_ms=1001)) == {"new.txt"}


async def test_collections_are_listed_page_by_page(library: Library) -> None:
    for name in ("c", "a", "b"):
        await library.parts.handlers.create_collection(CreateCollection(owner_id=OWNER, name=name))
    pages: list[tuple[str, ...]] = []
    cursor = None
    for _ in range(2):
        page = await library.parts.handlers.list_collections(
            ListCollections(owner_id=OWNER, limit=2, cursor=cursor)
        )
        pages.append(tuple(one.name for one in page.collections))
        cursor = page.next_cursor
    assert (pages, cursor) == ([("a", "b"), ("c",)], None)


async def told(library: Library, name: str, owner: str = OWNER) -> CollectionStatistics:
    return await library.parts.handlers.read_collection(ReadCollection(owner_id=owner, name=name))


async def test_a_collection_tells_what_it_holds(shelf: Library) -> None:
    found = await told(shelf, "default")
    assert found.documents_by_status == {"queued": 1, "ingesting": 0, "ready": 1, "failed": 1, "cancelled": 0}
    assert found.documents_by_language == {"de-AT": 1, "und": 2}
    assert found.chunks == found.chunks_done == 1
    assert found.size_bytes == len(GERMAN) + 4 + len(b"Not put yet.")
    assert found.collection.documents == 3
    with pytest.raises(ParleyError, match="no such collection"):
        await told(shelf, "manuals", OTHER)


async def test_passages_of_a_cancelled_document_count_no_more(shelf: Library) -> None:
    async with shelf.database.writing() as session:
        cancelled = update(DocumentRow).where(DocumentRow.name.startswith("Pumpe"))
        await session.execute(cancelled.values(status=DocumentStatus.CANCELLED.value, chunks_done=0))
    found = await told(shelf, "default")
    assert (found.chunks, found.chunks_done) == (0, 0)


async def test_what_a_document_says_of_itself_is_kept(shelf: Library) -> None:
    found = await shelf.listed(content_types=("text/html",))
    document = found["Pumpe 100%.html"]
    assert (document.title, document.language) == ("Pumpe", "de-AT")
