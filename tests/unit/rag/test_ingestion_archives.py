"""Archives: each file becomes a document, one that fails harms no other, and a crash repeats nothing."""

import asyncio
import tempfile
from pathlib import Path
from typing import BinaryIO

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import (
    CancelDocument,
    DeleteDocument,
    Document,
    DocumentChanged,
    DocumentStatus,
    IngestDocument,
    ReindexDocument,
)
from parley_messaging.bus import Delivery

from tests.unit.rag.library import OWNER, Library
from tests.unit.rag.office_files import zipped

FILES = {
    "pump.txt": b"The pump moves water.",
    "deep/kettle.md": b"# Kettle\n\nThe kettle boils.",
    "setup.pdf": b"MZ\x90\x00" + bytes(200),
}

MAIL = (
    b"From: Ada <ada@example.org>\r\nTo: bob@example.org\r\nSubject: The pump\r\n"
    b"Date: Mon, 02 Mar 2020 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
    b"--x\r\nContent-Type: text/plain\r\n\r\nThe manual is attached.\r\n"
    b'--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename="manual.txt"\r\n\r\n'
    b"The pump moves water.\r\n--x--\r\n"
)


async def queue(library: Library, content: bytes, name: str = "a.zip") -> tuple[Document, IngestDocument]:
    created = await library.create(content, name)
    return created.document, await library.put(content, created.document)


async def unpacked(library: Library, content: bytes, name: str = "a.zip") -> Document:
    document, job = await queue(library, content, name)
    await library.parts.ingestion.run(job)
    await library.work()
    return await library.read(document.id)


async def test_each_file_becomes_a_document_and_the_archive_tells_what_could_not_be_read(
    library: Library,
) -> None:
    archive = await unpacked(library, zipped({**FILES, "../escape.txt": b"Out."}))
    assert archive.status is DocumentStatus.READY
    assert (archive.members, archive.members_done) == (4, 4)
    assert archive.error == "2 of 4 could not be read."
    members = await library.listed(archive_id=archive.id)
    assert {name: member.status for name, member in members.items()} == {
        "a.zip/pump.txt": DocumentStatus.READY,
        "a.zip/deep/kettle.md": DocumentStatus.READY,
        "a.zip/setup.pdf": DocumentStatus.FAILED,
        "a.zip/../escape.txt": DocumentStatus.FAILED,
    }
    assert "Windows program" in (members["a.zip/setup.pdf"].error or "")
    assert "out of its folder" in (members["a.zip/../escape.txt"].error or "")
    assert [passage.text for passage in await library.search("pump water", limit=1)] == [
        "The pump moves water."
    ]


async def test_an_archive_is_under_way_until_its_last_file_is_through(library: Library) -> None:
    document, job = await queue(library, zipped(FILES))
    await library.parts.ingestion.run(job)
    archive = await library.read(document.id)
    assert (archive.status, archive.members, archive.members_done) == (DocumentStatus.INGESTING, 3, 0)
    await library.work()
    assert (await library.read(document.id)).status is DocumentStatus.READY


async def test_the_files_of_a_large_archive_are_not_counted_anew_for_each(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_rag.archives._COUNTS", 2)
    document, job = await queue(library, zipped({f"{n}.txt": f"Text {n}.".encode() for n in range(12)}))
    heard: list[int | None] = []

    async def hear(delivery: Delivery) -> None:
        heard.append(DocumentChanged.model_validate_json(delivery.data).document.members_done)

    await library.parts.ingestion.run(job)
    subscription = await library.bus.subscribe(subjects.ingest_events(document.id), hear)
    await library.work()
    await asyncio.sleep(0)
    await subscription.unsubscribe()
    assert heard == [1, 8, 12]
    assert (await library.read(document.id)).status is DocumentStatus.READY


async def test_an_archive_of_which_nothing_can_be_read_fails(library: Library) -> None:
    archive = await unpacked(library, zipped({"setup.pdf": b"MZ\x90\x00" + bytes(200)}))
    assert archive.status is DocumentStatus.FAILED
    assert archive.error == "1 of 1 could not be read."


async def test_a_crash_while_unpacking_makes_no_file_twice(library: Library) -> None:
    document, job = await queue(library, zipped({f"{n}.txt": f"Text {n}.".encode() for n in range(6)}))
    real_put, puts = library.bus.objects.put, 0

    async def put(key: str, data: bytes | BinaryIO) -> None:
        nonlocal puts
        puts += 1
        if puts == 4:
            raise ParleyError(ErrorCode.UNAVAILABLE, "away")
        await real_put(key, data)

    library.bus.objects.put = put
    with pytest.raises(ParleyError):
        await library.parts.ingestion.run(job)
    await library.work()
    assert (await library.read(document.id)).status is DocumentStatus.INGESTING
    await library.parts.ingestion.run(job)
    await library.work()
    archive = await library.read(document.id)
    assert (archive.status, archive.members_done) == (DocumentStatus.READY, 6)
    assert puts == 7  # six files, and the one that did not arrive
    assert len(await library.listed(archive_id=document.id)) == 6


async def test_a_stop_while_unpacking_leaves_no_folder_behind(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    for number in range(5):
        _, job = await queue(library, zipped({**FILES, "number.txt": b"%d" % number}), f"{number}.zip")
        others = asyncio.all_tasks()
        running = asyncio.create_task(library.parts.ingestion.run(job))
        is_unpacking = False
        while not running.done():
            is_unpacking |= any(scratch.iterdir())
            if is_unpacking:
                running.cancel()
            await asyncio.sleep(0)
        assert is_unpacking
        await asyncio.gather(*(asyncio.all_tasks() - others), return_exceptions=True)
        assert list(scratch.iterdir()) == []


async def test_a_file_that_is_there_already_is_not_read_again_and_outlives_the_archive(
    library: Library,
) -> None:
    alone = await library.upload(FILES["pump.txt"], "pump.txt")
    library.npu.requests.clear()
    archive = await unpacked(library, zipped({"pump.txt": FILES["pump.txt"]}))
    assert (archive.status, archive.members_done) == (DocumentStatus.READY, 1)
    assert library.npu.requests == []
    await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=archive.id))
    assert set(await library.listed()) == {"pump.txt"}
    assert (await library.read(alone.id)).status is DocumentStatus.READY


async def test_deleting_an_archive_removes_what_came_in_it_unless_another_has_it_too(
    library: Library,
) -> None:
    first = await unpacked(library, zipped({"a.txt": b"Shared.", "b.txt": b"First only."}), "one.zip")
    second = await unpacked(library, zipped({"c.txt": b"Shared.", "d.txt": b"Second only."}), "two.zip")
    await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=second.id))
    assert set(await library.listed()) == {"one.zip", "one.zip/a.txt", "one.zip/b.txt"}
    await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=first.id))
    assert await library.listed() == {}
    await library.parts.removals.finish()
    assert library.bus.objects.kept == {}


async def test_a_new_version_of_an_archive_replaces_the_old_one_file_by_file(library: Library) -> None:
    await unpacked(library, zipped({"a.txt": b"Old A.", "b.txt": b"Same.", "c.txt": b"Gone."}))
    archive = await unpacked(library, zipped({"a.txt": b"New A.", "b.txt": b"Same."}))
    found = await library.listed()
    assert set(found) == {"a.zip", "a.zip/a.txt", "a.zip/b.txt"}
    assert {found[name].archive_id for name in ("a.zip/a.txt", "a.zip/b.txt")} == {archive.id}
    assert [passage.text for passage in await library.search("new old", limit=1)] == ["New A."]


async def test_cancelling_an_archive_cancels_what_is_not_through_and_it_can_be_begun_anew(
    library: Library,
) -> None:
    content = zipped({"a.txt": b"Text A.", "b.txt": b"Text B."})
    document, job = await queue(library, content)
    await library.parts.ingestion.run(job)
    cancelled = await library.parts.handlers.cancel_document(
        CancelDocument(owner_id=OWNER, document_id=document.id)
    )
    assert cancelled.status is DocumentStatus.CANCELLED
    await library.work()
    assert {one.status for one in (await library.listed()).values()} == {DocumentStatus.CANCELLED}
    assert library.npu.requests == []
    assert (await unpacked(library, content)).status is DocumentStatus.READY
    assert {one.status for one in (await library.listed()).values()} == {DocumentStatus.READY}


async def test_reading_an_archive_again_reads_its_files_again(library: Library) -> None:
    archive = await unpacked(library, zipped(FILES))
    await library.parts.handlers.reindex_document(ReindexDocument(owner_id=OWNER, document_id=archive.id))
    assert await library.parts.jobs.sweep() == 3
    library.npu.requests.clear()
    await library.work()
    assert (await library.read(archive.id)).status is DocumentStatus.READY
    assert len(library.npu.requests) == 2
    assert not any(one.is_reindexing for one in (await library.listed()).values())


async def test_an_email_is_a_document_and_so_is_what_is_attached_to_it(library: Library) -> None:
    document = await unpacked(library, MAIL, "letter.eml")
    assert document.status is DocumentStatus.READY
    assert document.chunks == document.chunks_done > 0
    assert document.written_at_ms == 1_583_143_200_000
    assert "Ada" in (document.author or "")
    assert set(await library.listed(archive_id=document.id)) == {"letter.eml/manual.txt"}
    # Attachments in an archive are unpacked with it: its e-mails are no archives of their own.
    inside = await unpacked(library, zipped({"letter.eml": MAIL}), "mails.zip")
    assert inside.status is DocumentStatus.READY


async def test_an_email_that_is_cancelled_before_its_attachments_are_read_leaves_nothing_indexed(
    library: Library,
) -> None:
    document, job = await queue(library, MAIL, "letter.eml")
    await library.parts.ingestion.run(job)
    assert await library.index.count(OWNER, document.id) > 0
    await library.parts.handlers.cancel_document(CancelDocument(owner_id=OWNER, document_id=document.id))
    assert await library.parts.jobs.sweep() == 1
    await library.work()
    assert await library.index.count(OWNER, document.id) == 0
    assert {one.status for one in (await library.listed()).values()} == {DocumentStatus.CANCELLED}
