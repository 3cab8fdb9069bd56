"""Exports and erasures of what rag keeps of a user, over SQLite and PostgreSQL."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.data_rights import ErasedPart, EraseUser, ExportedOriginal, ExportUser
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.feedback import RateCitation, Verdict
from parley_contracts.npu import Embed
from parley_contracts.rag import IngestDocument
from parley_messaging.memory_objects import MemoryObjects
from parley_rag.backends.memory import MemoryIndex
from parley_rag.tables import ErasedOwnerRow, Row
from sqlalchemy import select

from tests.unit.rag.library import OTHER, OWNER, Library

TEXT = b"# Herons\n\nA heron stands at the weir and says nothing at all.\n"


async def exported(library: Library, owner: str, limit: int) -> tuple[list[Any], list[ExportedOriginal]]:
    lines: list[Any] = []
    originals: list[ExportedOriginal] = []
    cursor: str | None = None
    while True:
        page = await library.parts.rights.export.export(
            ExportUser(owner_id=owner, cursor=cursor, limit=limit)
        )
        lines += [(record.kind, json.loads(record.line)) for record in page.records]
        originals += page.originals
        cursor = page.next_cursor
        if cursor is None:
            return lines, originals


async def erase(library: Library, owner: str = OWNER, limit: int = 3) -> dict[str, int]:
    counts: dict[str, int] = {}
    async with asyncio.timeout(20):
        while True:
            request = EraseUser(owner_id=owner, limit=limit)
            part: ErasedPart = await library.parts.rights.erasure.erase(request)
            for one in part.removed:
                counts[one.place] = counts.get(one.place, 0) + one.count
            if part.is_done:
                return counts


async def kept_of(library: Library, owner: str) -> dict[str, int]:
    """Return how many rows of each table name an owner."""
    found: dict[str, int] = {}
    async with library.database.reading() as session:
        for table in Row.metadata.sorted_tables:
            if "owner_id" in table.c and table.name != ErasedOwnerRow.__tablename__:
                rows = (await session.execute(select(table).where(table.c.owner_id == owner))).all()
                found |= {table.name: len(rows)} if rows else {}
    return found


async def fill(library: Library, owner: str, documents: int = 4) -> list[str]:
    ids: list[str] = []
    for number in range(documents):
        content = TEXT + f"Number {number}.".encode()
        made = await library.upload(content, f"notes-{number}.md", owner=owner, collection=f"c{number % 2}")
        ids.append(made.id)
    rated = RateCitation(
        owner_id=owner,
        turn_id="t",
        n=1,
        document_id=ids[0],
        start=0,
        end=5,
        verdict=Verdict.UP,
        note="Good.",
    )
    await library.parts.quality.rate(rated)
    await library.search("heron", owner=owner)
    await library.parts.days.flush()
    return ids


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_an_export_names_every_document_with_its_upload(library: Library, limit: int) -> None:
    ids = await fill(library, OWNER)
    await fill(library, OTHER, 1)
    lines, originals = await exported(library, OWNER, limit)
    kinds = [kind for kind, _ in lines]
    assert kinds == sorted(kinds, key=kinds.index)
    assert {*kinds} == {"rag_collections", "rag_documents", "rag_feedback", "rag_search_days"}
    assert {row["owner_id"] for _, row in lines} == {OWNER}
    assert sorted(row["id"] for kind, row in lines if kind == "rag_documents") == sorted(ids)
    assert {one.key for one in originals} == {f"{OWNER}/{document_id}" for document_id in ids}


async def test_a_cursor_of_somebody_elses_making_is_refused(library: Library) -> None:
    for cursor in ("x", "[]", '["rag_chunks"]'):
        with pytest.raises(ParleyError) as refused:
            await library.parts.rights.export.export(ExportUser(owner_id=OWNER, cursor=cursor))
        assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_REQUEST, "cursor")


async def test_an_erasure_takes_rows_vectors_and_uploads_and_nothing_of_others(library: Library) -> None:
    await fill(library, OWNER)
    await fill(library, OTHER, 2)
    before = await kept_of(library, OTHER)
    counts = await erase(library)
    assert counts["rag_documents"] == 4
    assert counts["rag_collections"] == 2
    assert await kept_of(library, OWNER) == {}
    assert await kept_of(library, OTHER) == before
    assert {key.partition("/")[0] for key in library.bus.objects.kept} == {OTHER}
    assert await library.index.total() == len(await library.chunks())
    assert len(await library.search("heron", owner=OTHER)) > 0
    assert await erase(library) == {}


async def test_an_upload_that_is_being_read_does_not_come_back(library: Library) -> None:
    """However far the upload was, nothing of it is there when its job has run."""
    created = await library.create(TEXT)
    await erase(library)
    job = await library.put(TEXT, created.document)
    await library.parts.ingestion.run(job)
    assert await kept_of(library, OWNER) == {}
    assert library.bus.objects.kept == {}
    assert await library.index.total() == 0


async def test_an_upload_that_is_erased_while_it_is_embedded_leaves_nothing(library: Library) -> None:
    created = await library.create(TEXT * 30)
    job: IngestDocument = await library.put(TEXT * 30, created.document)
    real, is_asked, may_go_on = library.npu.embed, asyncio.Event(), asyncio.Event()

    async def slow(request: Any) -> Any:
        is_asked.set()
        await may_go_on.wait()
        return await real(request)

    library.bus.answer(subjects.NPU_EMBED, Embed, slow)
    reading = asyncio.create_task(library.parts.ingestion.run(job))
    async with asyncio.timeout(20):
        await is_asked.wait()
    await erase(library)
    may_go_on.set()
    async with asyncio.timeout(20):
        await reading
    await erase(library)
    assert await kept_of(library, OWNER) == {}
    assert library.bus.objects.kept == {}
    assert await library.index.total() == 0


async def test_a_document_or_collection_that_arrives_late_is_refused(library: Library) -> None:
    await erase(library)
    with pytest.raises(ParleyError) as refused:
        await library.create(TEXT)
    assert refused.value.code is ErrorCode.NOT_FOUND
    assert await kept_of(library, OWNER) == {}
    assert (await library.create(TEXT, owner=OTHER)).needs_content


async def test_verdicts_and_counts_that_arrive_late_are_not_kept(library: Library) -> None:
    rated = RateCitation(
        owner_id=OWNER, turn_id="t", n=1, document_id="d", start=0, end=1, verdict=Verdict.UP
    )
    for owner in (OWNER, OTHER):
        library.parts.days.note_search(owner, None, ())
    await erase(library)
    with pytest.raises(ParleyError) as refused:
        await library.parts.quality.rate(rated)
    assert refused.value.code is ErrorCode.NOT_FOUND
    await library.parts.days.flush()
    assert await kept_of(library, OWNER) == {}
    assert set(await kept_of(library, OTHER)) == {"rag_search_days"}
    await library.parts.quality.rate(rated.model_copy(update={"owner_id": OTHER}))


class Dying:
    """Does so many calls and then none: a process that is killed between two of them."""

    def __init__(self, survives: int) -> None:
        self.left = survives

    def step(self) -> None:
        if self.left == 0:
            raise ConnectionError("killed")
        self.left -= 1


@pytest.mark.parametrize("survives", range(6))
async def test_an_erasure_that_was_killed_goes_on_and_ends(
    library: Library, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    await fill(library, OWNER)
    dying = Dying(survives)
    remove, delete = library.index.remove_document, library.bus.objects.delete

    async def remove_document(_: MemoryIndex, owner_id: str, document_id: str) -> None:
        dying.step()
        await remove(owner_id, document_id)

    async def delete_object(_: MemoryObjects, key: str) -> None:
        dying.step()
        await delete(key)

    with monkeypatch.context() as killing:
        killing.setattr(MemoryIndex, "remove_document", remove_document)
        killing.setattr(MemoryObjects, "delete", delete_object)
        with pytest.raises(ConnectionError):
            await erase(library)
    await erase(library)
    assert await kept_of(library, OWNER) == {}
    assert library.bus.objects.kept == {}
    assert await library.index.total() == 0


async def test_erased_text_stands_in_no_file_of_sqlite(library: Library, tmp_path: Path) -> None:
    if not (tmp_path / "rag.sqlite").exists():
        pytest.skip("PostgreSQL sees to its own files")
    await fill(library, OWNER)
    assert holding(tmp_path, b"stands at the weir")
    await erase(library)
    assert not holding(tmp_path, b"stands at the weir")


def holding(folder: Path, text: bytes) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file() and text in path.read_bytes()]
