import asyncio

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import (
    CreateCollection,
    DeleteCollection,
    DeleteDocument,
    DocumentStatus,
    ListCollections,
    ListDocuments,
    ReadPassage,
)
from parley_rag.passages import Passages
from pydantic import ValidationError

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
    assert await library.names() == []
    assert library.bus.objects.kept == {}


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
