import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import (
    MAX_ADDED_BYTES,
    AddDocument,
    CreateCollection,
    CreateDocument,
    DeleteCollection,
    DeleteDocument,
    DocumentStatus,
    ListCollections,
    ListDocuments,
    ReadPassage,
    Search,
)
from parley_rag.passages import Passages
from parley_rag.tables import TermRow
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tests.unit.rag.library import OTHER, OWNER, Library

TEXT = b"The pump moves water. The kettle boils it."
MISSING = "00000000-0000-4000-8000-000000000000"


async def test_the_same_content_in_a_collection_is_the_same_document(library: Library) -> None:
    first = await library.create(TEXT, "a.txt")
    assert first.needs_content
    assert (await library.create(TEXT, "b.txt")).document.id == first.document.id
    document = await library.upload(TEXT, "a.txt")
    assert document.id == first.document.id
    again = await library.create(TEXT, "a.txt")
    assert (again.document.id, again.needs_content) == (first.document.id, False)


async def test_the_same_content_elsewhere_is_another_document(library: Library) -> None:
    ids = {
        (await library.create(TEXT)).document.id,
        (await library.create(TEXT, collection="other")).document.id,
        (await library.create(TEXT, owner=OTHER)).document.id,
    }
    assert len(ids) == 3


async def test_a_document_that_comes_whole_is_kept_and_ingested(library: Library) -> None:
    request = AddDocument(owner_id=OWNER, name="a.txt", collection="shop", content=TEXT)
    again = AddDocument.model_validate_json(request.model_dump_json())
    assert again.content == TEXT
    document = await library.parts.handlers.add_document(request)
    assert await library.work() == [document.id]
    found = await library.read(document.id)
    assert (found.status, found.collection, found.size_bytes) == (DocumentStatus.READY, "shop", len(TEXT))
    assert await library.original(found) == TEXT
    assert (await library.parts.handlers.add_document(again)).id == document.id
    assert await library.work() == []


def test_a_document_that_comes_whole_fits_into_a_message() -> None:
    for size_bytes in (0, MAX_ADDED_BYTES + 1):
        with pytest.raises(ValidationError):
            AddDocument(owner_id=OWNER, name="a", content=b"x" * size_bytes)
    largest = AddDocument(owner_id=OWNER, name="a", content=b"x" * MAX_ADDED_BYTES)
    assert len(largest.model_dump_json()) < 8_000_000


async def test_requests_at_once_make_one_document(library: Library) -> None:
    created = await asyncio.gather(*(library.create(TEXT) for _ in range(8)))
    assert len({one.document.id for one in created}) == 1


async def test_somebody_elses_ids_are_not_found_exactly_like_missing_ones(library: Library) -> None:
    document = await library.upload(TEXT)
    handlers = library.parts.handlers

    async def told(document_id: str) -> list[tuple[ErrorCode, str]]:
        answers: list[tuple[ErrorCode, str]] = []
        for call in (
            library.read(document_id, OTHER),
            handlers.delete_document(DeleteDocument(owner_id=OTHER, document_id=document_id)),
            handlers.read_passage(ReadPassage(owner_id=OTHER, document_id=document_id, start=0, end=5)),
        ):
            with pytest.raises(ParleyError) as caught:
                await call
            answers.append((caught.value.code, caught.value.message))
        return answers

    assert await told(document.id) == await told(MISSING)
    assert {code for code, _ in await told(document.id)} == {ErrorCode.NOT_FOUND}
    assert (await library.read(document.id)).status is DocumentStatus.READY
    assert await library.names(OTHER) == []
    assert await library.search("pump", owner=OTHER) == ()


async def test_new_content_of_a_name_replaces_the_old_only_when_it_is_ready(library: Library) -> None:
    old = await library.upload(b"The old pump is green.", "pump.txt")
    new = await library.create(b"The new pump is blue.", "pump.txt")
    assert [passage.text for passage in await library.search("pump")] == ["The old pump is green."]
    job = await library.put(b"The new pump is blue.", new.document)
    await library.parts.ingestion.run(job)
    assert [passage.text for passage in await library.search("pump")] == ["The new pump is blue."]
    assert await library.names() == ["pump.txt"]
    with pytest.raises(ParleyError):
        await library.read(old.id)
    await library.parts.removals.finish()
    assert list(library.bus.objects.kept) == [job.object_key]
    assert await library.index.count(OWNER, old.id) == 0


async def test_content_that_failed_does_not_replace_what_serves(library: Library) -> None:
    await library.upload(b"The old pump is green.", "pump.txt")
    failed = await library.upload(b"MZ\x90\x00", "pump.txt")
    assert failed.status is DocumentStatus.FAILED
    assert [passage.text for passage in await library.search("pump")] == ["The old pump is green."]


async def test_whichever_content_was_wanted_last_stays(library: Library) -> None:
    first = await library.upload(b"Version one.", "a.txt")
    second = await library.create(b"Version two.", "a.txt")
    assert not (await library.create(b"Version one.", "a.txt")).needs_content
    await library.parts.ingestion.run(await library.put(b"Version two.", second.document))
    assert [passage.document.id for passage in await library.search("version")] == [first.id]


async def test_deleting_a_document_removes_its_passages_vectors_and_original(library: Library) -> None:
    document = await library.upload(TEXT)
    await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=document.id))
    await library.parts.removals.finish()
    assert await library.chunks() == []
    assert await library.index.count(OWNER, document.id) == 0
    assert library.bus.objects.kept == {}


async def test_collections_count_what_they_hold_and_go_with_it(library: Library) -> None:
    handlers = library.parts.handlers
    await library.upload(TEXT, collection="pumps")
    empty = await handlers.create_collection(CreateCollection(owner_id=OWNER, name="empty"))
    assert empty == await handlers.create_collection(CreateCollection(owner_id=OWNER, name="empty"))
    listed = (await handlers.list_collections(ListCollections(owner_id=OWNER))).collections
    assert [(one.name, one.documents, one.chunks) for one in listed] == [("empty", 0, 0), ("pumps", 1, 1)]
    with pytest.raises(ParleyError, match="no such collection"):
        await handlers.delete_collection(DeleteCollection(owner_id=OTHER, name="pumps"))
    await handlers.delete_collection(DeleteCollection(owner_id=OWNER, name="pumps"))
    listed = (await handlers.list_collections(ListCollections(owner_id=OWNER))).collections
    assert [one.name for one in listed] == ["empty"]
    await library.parts.removals.finish()
    assert await library.names() == []
    assert library.bus.objects.kept == {}


@pytest.mark.parametrize("limit", ["removals.MOST_AT_ONCE", "removals._PASSAGES_AT_ONCE"])
async def test_others_write_while_a_large_collection_is_removed(
    library: Library, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    for n in range(5):
        await library.upload(f"Text {n}.".encode(), f"{n}.txt")
    monkeypatch.setattr(f"parley_rag.{limit}", 2)
    monkeypatch.setattr("parley_rag.document_collections.MOST_AT_ONCE", 2)
    transactions = count_transactions(library, monkeypatch)
    await library.parts.handlers.delete_collection(DeleteCollection(owner_id=OWNER, name="default"))
    assert len(transactions) == 3
    assert await library.names() == []
    await library.parts.removals.finish()
    assert await library.index.total() == 0


async def test_others_write_while_a_long_document_is_removed(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await library.upload(b"\n\n".join(b"Words of all kinds. " * 40 for _ in range(5)))
    monkeypatch.setattr("parley_rag.indexed_passages._DISCOUNTED", 2)
    transactions = count_transactions(library, monkeypatch)
    await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=document.id))
    assert len(transactions) > document.chunks / 2
    async with library.database.reading() as session:
        assert list(await session.scalars(select(TermRow.term).where(TermRow.passages > 0))) == []


def count_transactions(library: Library, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that gets longer with each transaction that writes."""
    counted: list[None] = []
    writing = library.database.writing

    def count_one() -> AbstractAsyncContextManager[AsyncSession]:
        counted.append(None)
        return writing()

    monkeypatch.setattr(library.database, "writing", count_one)
    return counted


async def test_what_no_database_stores_is_looked_for_without_harm(library: Library) -> None:
    document = await library.upload(TEXT, "pump.txt")
    handlers = library.parts.handlers
    for ask in (
        library.read(f"{document.id}\x00"),
        handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id="\x00")),
    ):
        with pytest.raises(ParleyError, match="no such document"):
            await ask
    assert await library.listed(name_part="\x00") == {}
    assert await library.listed(content_types=("\x00",)) == {}
    titled = CreateDocument(
        owner_id=OWNER, name="a.txt", title="A\x00B", size_bytes=1, sha256="0" * 64, source_url="http://\x00"
    )
    created = await handlers.create_document(titled)
    assert (await library.read(created.document.id)).title == "A\ufffdB"


@pytest.mark.parametrize("name", ["dated_from_ms", "dated_before_ms"])
def test_a_date_that_no_database_stores_is_no_request(name: str) -> None:
    for request in (ListDocuments, Search):
        with pytest.raises(ValidationError, match=name):
            request.model_validate({"owner_id": OWNER, "query": "pump", name: 2**63})


async def test_documents_are_listed_newest_first_page_by_page(library: Library) -> None:
    made = [(await library.create(f"text {n}".encode(), f"{n}.txt")).document.id for n in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = await library.parts.handlers.list_documents(
            ListDocuments(owner_id=OWNER, limit=2, cursor=cursor)
        )
        seen += [document.id for document in page.documents]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    times = [(await library.read(document_id)).created_at_ms for document_id in seen]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("cursor", ["", "x", "12", "12.", "-1.a", "9" * 30 + ".a"])
async def test_a_made_up_cursor_is_an_invalid_request(library: Library, cursor: str) -> None:
    with pytest.raises(ParleyError) as caught:
        await library.parts.handlers.list_documents(ListDocuments(owner_id=OWNER, cursor=cursor))
    assert caught.value.code is ErrorCode.INVALID_REQUEST


async def test_a_passage_is_read_with_what_stands_around_it(library: Library) -> None:
    text = "Ä😀 first words. The middle part. Last words."
    document = await library.upload(text.encode())
    start = text.index("The middle")
    read = await library.parts.handlers.read_passage(
        ReadPassage(owner_id=OWNER, document_id=document.id, start=start, end=start + 16, around_chars=12)
    )
    assert (read.before, read.text, read.after) == (
        text[start - 12 : start],
        "The middle part.",
        text[start + 16 : start + 28],
    )


async def test_a_span_beyond_the_text_is_cut_and_a_backward_one_refused(library: Library) -> None:
    document = await library.upload(TEXT)
    handlers = library.parts.handlers
    read = await handlers.read_passage(
        ReadPassage(owner_id=OWNER, document_id=document.id, start=4, end=10_000)
    )
    assert read.text == TEXT.decode()[4:]
    with pytest.raises(ParleyError, match="before"):
        await handlers.read_passage(ReadPassage(owner_id=OWNER, document_id=document.id, start=4, end=2))
    with pytest.raises(ParleyError, match="behind the text's end"):
        await handlers.read_passage(ReadPassage(owner_id=OWNER, document_id=document.id, start=900, end=902))


@pytest.mark.parametrize(("start", "end"), [(10**30, 10**30), (0, 2**31), (-1, 4)])
def test_a_span_beyond_any_text_is_no_request(start: int, end: int) -> None:
    with pytest.raises(ValidationError):
        ReadPassage(owner_id=OWNER, document_id=MISSING, start=start, end=end)


async def test_the_farthest_span_is_empty(library: Library) -> None:
    document = await library.upload(TEXT)
    last = 2**31 - 1
    read = await library.parts.handlers.read_passage(
        ReadPassage(owner_id=OWNER, document_id=document.id, start=last, end=last)
    )
    assert (read.before, read.text, read.after) == ("", "", "")


async def test_collections_of_others_are_neither_listed_nor_counted(library: Library) -> None:
    await library.upload(TEXT, collection="manuals")
    await library.upload(TEXT, owner=OTHER, collection="manuals")
    await library.upload(b"Letters of Bob.", owner=OTHER, collection="letters")

    async def listed(owner: str) -> list[tuple[str, int, int]]:
        found = await library.parts.handlers.list_collections(ListCollections(owner_id=owner))
        return [(one.name, one.documents, one.chunks) for one in found.collections]

    assert await listed(OWNER) == [("manuals", 1, 1)]
    assert await listed(OTHER) == [("letters", 1, 1), ("manuals", 1, 1)]
    assert await listed("eve") == []


async def test_passages_are_given_to_their_owner_only(library: Library) -> None:
    document = await library.upload(TEXT)
    passages = Passages(library.database)
    ids = [row[0] for row in await library.chunks()]

    async def given(owner: str) -> tuple[list[str], list[str], str | None]:
        span = await passages.span(owner, document.id, 0, 8, 0)
        return (
            list(await passages.by_id(owner, ids)),
            [chunk.id for chunk in await passages.of_document(owner, document.id, 0, 10)],
            span and span.text,
        )

    assert await given(OWNER) == (ids, ids, "The pump")
    assert await given(OTHER) == ([], [], None)
