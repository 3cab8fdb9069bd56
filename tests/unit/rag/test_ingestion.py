import asyncio

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import DocumentFailed
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import DeleteDocument, Document, DocumentStatus
from parley_contracts.stream_names import DOMAIN_EVENTS
from parley_rag.assembly import assemble
from parley_rag.measures import Measures
from parley_rag.settings import RagSettings
from parley_rag.tables import DocumentRow
from prometheus_client import CollectorRegistry
from sqlalchemy import update

from tests.unit.rag.library import OWNER, Library
from tests.unit.rag.papers import pdf, scanned_pdf

LONG = "\n\n".join(
    f"Paragraph {n} tells about subject {n * 7}. " + "Some more words. " * 30 for n in range(80)
)


class DyingNpu:
    """Answers a number of times, then is away."""

    def __init__(self, library: Library, answers: int) -> None:
        self._npu, self._left = library.npu, answers

    async def embed(self, request: Embed) -> Embeddings:
        if self._left == 0:
            raise ParleyError(ErrorCode.UNAVAILABLE, "away")
        self._left -= 1
        return await self._npu.embed(request)


async def test_an_ingested_document_is_ready_with_all_its_passages_indexed(library: Library) -> None:
    document = await library.upload(LONG.encode(), "long.txt")
    assert document.status is DocumentStatus.READY
    assert document.chunks == document.chunks_done == await library.index.count(OWNER, document.id) > 64
    for _, start, end, text in await library.chunks():
        assert LONG[start:end] == text


async def test_a_job_that_died_in_the_middle_goes_on_and_ends_with_the_same_passages(
    library: Library,
) -> None:
    created = await library.create(LONG.encode(), "long.txt")
    job = await library.put(LONG.encode(), created.document)
    library.bus.answer(subjects.NPU_EMBED, Embed, DyingNpu(library, answers=1).embed)
    with pytest.raises(ParleyError):
        await library.parts.ingestion.run(job)
    half = await library.read(created.document.id)
    assert (half.status, half.chunks_done) == (DocumentStatus.INGESTING, 32)
    before = await library.chunks()
    assert await library.search("paragraph") == ()  # what is not ready is not shown
    library.npu.requests.clear()
    library.bus.answer(subjects.NPU_EMBED, Embed, library.npu.embed)
    await library.parts.ingestion.run(job)
    whole = await library.read(created.document.id)
    assert whole.status is DocumentStatus.READY
    assert await library.chunks() == before
    assert await library.index.count(OWNER, whole.id) == whole.chunks
    assert sum(len(request.texts) for request in library.npu.requests) == whole.chunks - 32


async def test_npu_has_the_next_batch_while_one_is_computed(library: Library) -> None:
    both_asked = asyncio.Event()
    asked: list[Embed] = []

    async def embed(request: Embed) -> Embeddings:
        asked.append(request)
        if len(asked) == 2:
            both_asked.set()
        async with asyncio.timeout(5):
            await both_asked.wait()
        return await library.npu.embed(request)

    library.bus.answer(subjects.NPU_EMBED, Embed, embed)
    document = await library.upload(LONG.encode(), "long.txt")
    assert document.status is DocumentStatus.READY
    assert sum(len(request.texts) for request in asked) == document.chunks


async def test_running_a_finished_job_again_changes_nothing(library: Library) -> None:
    created = await library.create(LONG.encode())
    job = await library.put(LONG.encode(), created.document)
    await library.parts.ingestion.run(job)
    before, asked = await library.chunks(), len(library.npu.requests)
    await library.parts.ingestion.run(job)
    assert (await library.chunks(), len(library.npu.requests)) == (before, asked)


async def test_a_job_delivered_twice_at_once_embeds_once(library: Library) -> None:
    created = await library.create(LONG.encode())
    job = await library.put(LONG.encode(), created.document)
    await asyncio.gather(library.parts.ingestion.run(job), library.parts.ingestion.run(job))
    document = await library.read(created.document.id)
    assert sum(len(request.texts) for request in library.npu.requests) == document.chunks


async def test_vectors_that_were_lost_are_made_again_before_a_document_is_ready(library: Library) -> None:
    created = await library.create(LONG.encode())
    job = await library.put(LONG.encode(), created.document)
    library.bus.answer(subjects.NPU_EMBED, Embed, DyingNpu(library, answers=2).embed)
    with pytest.raises(ParleyError):
        await library.parts.ingestion.run(job)
    await library.index.remove_document(OWNER, created.document.id)
    library.bus.answer(subjects.NPU_EMBED, Embed, library.npu.embed)
    await library.parts.ingestion.run(job)
    document = await library.read(created.document.id)
    assert await library.index.count(OWNER, document.id) == document.chunks


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (pdf([["secret words"]], password="x"), "a.pdf", "encrypted"),
        (scanned_pdf(), "a.pdf", "scan"),
        (b"MZ\x90\x00", "a.pdf", "Windows program"),
        (b"   ", "a.txt", "no text"),
    ],
)
async def test_an_unreadable_document_fails_with_its_reason_and_can_be_sent_again(
    library: Library, content: bytes, name: str, says: str
) -> None:
    document = await library.upload(content, name)
    assert document.status is DocumentStatus.FAILED
    assert says in (document.error or "")
    again = await library.create(content, name)
    assert again.needs_content
    assert (again.document.id, again.document.status) == (document.id, DocumentStatus.QUEUED)


async def test_of_a_document_that_failed_its_owner_is_to_be_told_once_and_of_others_not(
    library: Library,
) -> None:
    assert (await library.upload(b"Words.")).status is DocumentStatus.READY
    failed = await library.upload(b"   ", "empty.txt")
    stored = await library.bus.next_stored(DOMAIN_EVENTS, subjects.DOCUMENT_FAILED, 1)
    assert stored is not None
    event = DocumentFailed.model_validate_json(stored.data)
    assert (event.owner_id, event.document_id) == (OWNER, failed.id)
    after = stored.stream_seq + 1
    assert await library.bus.next_stored(DOMAIN_EVENTS, subjects.DOCUMENT_FAILED, after) is None


async def age(library: Library, document: Document, by_s: int) -> None:
    """Let the document have been asked for earlier than it was."""
    async with library.database.writing() as session:
        earlier = DocumentRow.wanted_at_ms - by_s * 1000
        await session.execute(
            update(DocumentRow).where(DocumentRow.id == document.id).values(wanted_at_ms=earlier)
        )


async def test_a_job_that_comes_before_its_original_is_tried_again(library: Library) -> None:
    created = await library.create(b"Words.")
    job = await library.put(b"Words.", created.document)
    await library.bus.objects.delete(job.object_key)
    await age(library, created.document, by_s=100)
    with pytest.raises(ParleyError) as caught:
        await library.parts.ingestion.run(job)
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert (await library.read(created.document.id)).status is DocumentStatus.QUEUED
    await library.parts.ingestion.run(await library.put(b"Words.", created.document))
    assert (await library.read(created.document.id)).status is DocumentStatus.READY


async def test_an_upload_that_was_not_completed_fails_and_can_be_sent_again(library: Library) -> None:
    created = await library.create(b"Words.")
    job = await library.put(b"Words.", created.document)
    await library.bus.objects.delete(job.object_key)
    await age(library, created.document, by_s=121)
    await library.parts.ingestion.run(job)
    failed = await library.read(created.document.id)
    assert failed.status is DocumentStatus.FAILED
    assert failed.error == "The upload was not completed; upload the file again."
    assert (await library.upload(b"Words.")).status is DocumentStatus.READY


async def test_content_that_differs_fails(library: Library) -> None:
    created = await library.create(b"What was announced.")
    job = await library.put(b"What came.", created.document)
    await library.parts.ingestion.run(job)
    assert "damaged" in ((await library.read(created.document.id)).error or "")


async def test_a_document_deleted_while_it_waits_leaves_nothing(library: Library) -> None:
    created = await library.create(b"Words.")
    job = await library.put(b"Words.", created.document)
    await library.parts.handlers.delete_document(
        DeleteDocument(owner_id=OWNER, document_id=created.document.id)
    )
    await library.parts.removals.finish()
    assert library.bus.objects.kept == {}
    await library.parts.ingestion.run(job)
    assert library.bus.objects.kept == {}


async def test_a_document_deleted_while_it_is_embedded_leaves_nothing(library: Library) -> None:
    created = await library.create(LONG.encode())
    job = await library.put(LONG.encode(), created.document)

    async def embed(request: Embed) -> Embeddings:
        library.bus.answer(subjects.NPU_EMBED, Embed, library.npu.embed)
        await library.parts.handlers.delete_document(
            DeleteDocument(owner_id=OWNER, document_id=created.document.id)
        )
        return await library.npu.embed(request)

    library.bus.answer(subjects.NPU_EMBED, Embed, embed)
    await library.parts.ingestion.run(job)
    assert await library.index.count(OWNER, created.document.id) == 0
    assert library.bus.objects.kept == {}
    assert await library.chunks() == []


async def test_vectors_of_two_models_never_mix(
    library: Library, settings: RagSettings, caplog: pytest.LogCaptureFixture
) -> None:
    await library.upload(b"The pump moves water.", "pump.txt")

    async def other_model(request: Embed) -> Embeddings:
        made = await library.npu.embed(request)
        return made.model_copy(update={"engine": "another-int8"})

    library.bus.answer(subjects.NPU_EMBED, Embed, other_model)
    document = await library.upload(b"The kettle boils.", "kettle.txt")
    assert document.status is DocumentStatus.FAILED
    assert "embedding model has changed" in (document.error or "")
    assert "another model or engine" in caplog.text
    parts = assemble(library.database, library.index, library.bus, settings, Measures(CollectorRegistry()))
    assert parts.searching is not None
    assert [passage.text for passage in await library.search("pump")] == ["The pump moves water."]


async def test_a_removal_that_was_interrupted_is_finished_later(library: Library) -> None:
    document = await library.upload(b"Words.")
    objects = library.bus.objects
    real_delete = objects.delete

    async def away(key: str) -> None:
        raise ParleyError(ErrorCode.UNAVAILABLE, f"no store for {key}")

    objects.delete = away
    await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=document.id))
    with pytest.raises(ParleyError):
        await library.parts.removals.finish()
    assert objects.kept
    objects.delete = real_delete
    assert await library.parts.removals.finish() == 1
    assert objects.kept == {}
    assert await library.parts.removals.finish() == 0
