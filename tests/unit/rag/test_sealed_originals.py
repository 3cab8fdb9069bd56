"""Originals are sealed wherever they come from, opened to be read; what was plain before becomes sealed."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import (
    AddDocument,
    DeleteDocument,
    Document,
    DocumentStatus,
    ReindexDocument,
    original_key,
    sealed_key,
)
from parley_envelope import new_data_key
from parley_messaging.bus import StoredObject
from parley_rag.tables import DocumentRow, OriginalForm
from sqlalchemy import select

from tests.unit.rag.library import OTHER, OWNER, Library

PLANTED = "The heron stands in the planted reeds."
TEXT = (PLANTED + " It waits for the tide.\n").encode() * 40
CANNOT = "The stored file cannot be opened; upload the file again."


def archive(**files: bytes) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return kept.getvalue()


def shows(library: Library, planted: str = PLANTED) -> list[str]:
    return [key for key, kept in library.bus.objects.kept.items() if planted.encode() in kept]


async def form_of(library: Library, document: Document) -> str:
    async with library.database.reading() as session:
        query = select(DocumentRow.original_form).where(DocumentRow.id == document.id)
        return (await session.scalars(query)).one()


async def test_a_sealed_upload_is_read_and_told_of_as_the_plain_file(library: Library) -> None:
    document = await library.ingest(await library.upload_sealed(TEXT))
    assert (document.status, document.is_sealed, document.size_bytes) == ("ready", True, len(TEXT))
    assert (await library.search("heron reeds"))[0].text.startswith(PLANTED)
    assert await library.original(document) == TEXT
    assert list(library.bus.objects.kept) == [sealed_key(OWNER, document.id)]
    assert shows(library) == []


async def test_what_rag_puts_itself_is_sealed(library: Library) -> None:
    added = await library.parts.handlers.add_document(AddDocument(owner_id=OWNER, name="a.txt", content=TEXT))
    packed = await library.upload_sealed(
        archive(**{"one.txt": TEXT + b"1", "two.txt": TEXT + b"2"}), "box.zip"
    )
    await library.ingest(packed)
    await library.work()
    documents = await library.listed()
    assert {one.status for one in documents.values()} == {DocumentStatus.READY}
    assert {key.rsplit("/", 1)[1] for key in library.bus.objects.kept} == {"sealed"}
    assert (len(documents), shows(library)) == (4, [])
    assert await library.original(await library.read(added.id)) == TEXT


async def test_without_keys_nothing_is_taken_and_nothing_written(library: Library) -> None:
    library.data_keys.is_away = True
    with pytest.raises(ParleyError) as refused:
        await library.parts.handlers.add_document(AddDocument(owner_id=OWNER, name="a.txt", content=TEXT))
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.UNAVAILABLE, True)
    assert (library.bus.objects.kept, await library.names()) == ({}, [])


async def test_a_job_waits_for_keys_that_are_away(library: Library) -> None:
    document = await library.upload_sealed(TEXT)
    library.data_keys.is_away = True
    with pytest.raises(ParleyError) as postponed:
        await library.ingest(document)
    assert postponed.value.code is ErrorCode.UNAVAILABLE
    assert (await library.read(document.id)).status is DocumentStatus.QUEUED
    library.data_keys.is_away = False
    assert (await library.ingest(document)).status is DocumentStatus.READY


async def test_a_new_data_key_seals_what_comes_and_the_old_one_opens_what_is_there(library: Library) -> None:
    old = await library.upload_sealed(TEXT, "old.txt")
    library.data_keys.keys.append(new_data_key())
    new = await library.upload_sealed(TEXT + b"new", "new.txt")
    heads = {kept[:13] for kept in library.bus.objects.kept.values()}
    assert heads == {b"PLYS\x01" + bytes.fromhex(key.id) for key in library.data_keys.keys}
    for document in (old, new):
        assert (await library.ingest(document)).status is DocumentStatus.READY


def _flip(library: Library, own: str, _: str) -> None:
    kept = bytearray(library.bus.objects.kept[own])
    kept[-1] ^= 1
    library.bus.objects.kept[own] = bytes(kept)


def _cut(library: Library, own: str, _: str) -> None:
    library.bus.objects.kept[own] = library.bus.objects.kept[own][:-3]


def _swap(library: Library, own: str, other: str) -> None:
    library.bus.objects.kept[own] = library.bus.objects.kept[other]


def _plain(library: Library, own: str, _: str) -> None:
    library.bus.objects.kept[own] = TEXT


def _lose_key(library: Library, *_: str) -> None:
    library.data_keys.keys = [new_data_key()]


def _change_key(library: Library, *_: str) -> None:
    library.data_keys.keys = [replace(library.data_keys.keys[0], secret=bytes(32))]


@pytest.mark.parametrize(
    "harm",
    [_flip, _cut, _swap, _plain, _lose_key, _change_key],
    ids=["flipped", "cut", "of-somebody-else", "plain-in-its-place", "key-gone", "wrong-key"],
)
async def test_an_original_that_does_not_open_is_refused_in_words(
    library: Library, harm: Callable[[Library, str, str], None]
) -> None:
    document, others = await library.upload_sealed(TEXT), await library.upload_sealed(TEXT, owner=OTHER)
    harm(library, sealed_key(OWNER, document.id), sealed_key(OTHER, others.id))
    failed = await library.ingest(document)
    assert (failed.status, failed.error) == (DocumentStatus.FAILED, CANNOT)
    assert await library.search("heron") == ()


async def test_what_was_stored_before_is_read_and_then_sealed_in_steps(library: Library) -> None:
    document = await library.upload(TEXT)
    key = original_key(OWNER, document.id)
    assert (document.status, document.is_sealed, shows(library)) == (DocumentStatus.READY, False, [key])
    assert await library.parts.sealing.sweep() == 1
    sealed = await library.read(document.id)
    # Whoever has read the row before finds the plain one for a while.
    assert (sealed.is_sealed, await form_of(library, document), shows(library)) == (True, "both", [key])
    assert await library.original(sealed) == await library.original(document) == TEXT
    assert await library.parts.sealing.sweep() == 0
    assert (await form_of(library, document), shows(library)) == ("sealed", [])
    await library.parts.handlers.reindex_document(ReindexDocument(owner_id=OWNER, document_id=document.id))
    assert await library.parts.jobs.sweep() == 1
    await library.work()
    again = await library.read(document.id)
    assert (again.status, again.is_reindexing, again.error) == (DocumentStatus.READY, False, None)


async def test_a_job_that_read_the_row_before_it_was_sealed_finds_the_original(library: Library) -> None:
    document = await library.upload(TEXT)
    row = await library.parts.sealing.sweep() and await library.parts.sealing.sweep()
    assert (row, shows(library)) == (0, [])
    async with library.database.reading() as session:
        stale = (await session.scalars(select(DocumentRow))).one()
    stale.original_form = OriginalForm.PLAIN
    ingestion = library.parts.ingestion
    assert await ingestion._stored(stale) == TEXT  # pyright: ignore[reportPrivateUsage] - a race, stopped
    assert (await library.read(document.id)).is_sealed


async def test_sealing_waits_for_keys_and_leaves_alone_what_is_damaged_or_at_work(library: Library) -> None:
    document = await library.upload(TEXT)
    damaged = await library.upload(TEXT + b"damaged", "damaged.txt")
    created = await library.create(TEXT + b"under way", "under-way.txt")
    await library.put(TEXT + b"under way", created.document)
    library.bus.objects.kept[original_key(OWNER, damaged.id)] = b"something else"
    library.data_keys.is_away = True
    with pytest.raises(ParleyError):
        await library.parts.sealing.sweep()
    assert await form_of(library, document) == "plain"
    library.data_keys.is_away = False
    assert [await library.parts.sealing.sweep() for _ in range(3)] == [1, 0, 0]
    forms = [await form_of(library, one) for one in (document, damaged, created.document)]
    assert forms == ["sealed", "plain", "plain"]
    assert library.bus.objects.kept[original_key(OWNER, damaged.id)] == b"something else"


async def test_an_original_that_lost_a_part_holds_up_no_other_and_is_counted(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, document = await library.upload(TEXT + b"lost", "lost.txt"), await library.upload(TEXT)
    objects = library.bus.objects
    open_whole = objects.open

    async def open_some(key: str) -> StoredObject:
        if key == original_key(OWNER, lost.id):
            raise ParleyError(ErrorCode.INTERNAL, "A part of a stored object is lost.", retryable=False)
        return await open_whole(key)

    monkeypatch.setattr(objects, "open", open_some)
    assert [await library.parts.sealing.sweep() for _ in range(3)] == [1, 0, 0]
    assert [await form_of(library, one) for one in (lost, document)] == ["plain", "sealed"]
    assert library.registry.get_sample_value("parley_rag_unreadable_originals") == 1


@pytest.mark.parametrize("sweeps", [0, 1, 2])
async def test_a_document_that_is_removed_leaves_neither_form(library: Library, sweeps: int) -> None:
    document = await library.upload(TEXT)
    for _ in range(sweeps):
        await library.parts.sealing.sweep()
    await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=document.id))
    await library.parts.removals.finish()
    assert library.bus.objects.kept == {}


async def test_a_document_that_is_removed_while_it_is_sealed_leaves_nothing(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await library.upload(TEXT)
    put = library.bus.objects.put

    async def remove_first(key: str, data: bytes) -> None:
        await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=document.id))
        await library.parts.removals.finish()
        await put(key, data)

    monkeypatch.setattr(library.bus.objects, "put", remove_first)
    assert await library.parts.sealing.sweep() == 0
    assert library.bus.objects.kept == {}


async def test_the_same_content_uploaded_again_takes_the_plain_one_away(library: Library) -> None:
    created = await library.create(TEXT)  # by a gateway of an earlier version, which died then
    await library.put(TEXT, created.document)
    document = await library.upload_sealed(TEXT)
    assert (document.id, await form_of(library, document)) == (created.document.id, "both")
    assert (await library.ingest(document)).status is DocumentStatus.READY
    await library.parts.sealing.sweep()
    assert (await form_of(library, document), shows(library)) == ("sealed", [])
