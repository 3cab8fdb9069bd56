"""Jobs that are cancelled, begun anew, read again, lost, or given to two processes."""

import asyncio
from collections.abc import Sequence

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import (
    CancelDocument,
    Document,
    DocumentChanged,
    DocumentStatus,
    IngestDocument,
    ReindexCollection,
    ReindexDocument,
)
from parley_messaging.bus import Delivery
from parley_rag.assembly import Parts, assemble
from parley_rag.measures import Measures
from parley_rag.settings import RagSettings
from parley_rag.tables import DocumentRow, TermRow
from parley_rag.vectors import IndexedPassage
from prometheus_client import CollectorRegistry
from sqlalchemy import select, update

from tests.unit.rag.library import OTHER, OWNER, Library

LONG = "\n\n".join(
    f"Paragraph {n} tells about subject {n * 7}. " + "Some more words. " * 30 for n in range(80)
).encode()
MINUTE_MS = 60_000


async def cancel(library: Library, document: Document, owner: str = OWNER) -> Document:
    request = CancelDocument(owner_id=owner, document_id=document.id)
    return await library.parts.handlers.cancel_document(request)


async def reindex(library: Library, document: Document, owner: str = OWNER) -> Document:
    request = ReindexDocument(owner_id=owner, document_id=document.id)
    return await library.parts.handlers.reindex_document(request)


async def terms(library: Library) -> dict[int, int]:
    async with library.database.reading() as session:
        rows = await session.scalars(select(TermRow).where(TermRow.passages != 0))
        return {row.term: row.passages for row in rows}


async def job_of(library: Library, content: bytes, name: str = "long.txt") -> tuple[Document, IngestDocument]:
    created = await library.create(content, name)
    return created.document, await library.put(content, created.document)


def another_process(library: Library, settings: RagSettings) -> Parts:
    measures = Measures(CollectorRegistry())
    return assemble(library.database, library.index, library.bus, settings, measures)


# -- progress --------------------------------------------------------------------------------------


async def test_whoever_listens_hears_of_every_step_to_the_end(library: Library) -> None:
    document, job = await job_of(library, LONG)
    heard: list[Document] = []

    async def hear(delivery: Delivery) -> None:
        heard.append(DocumentChanged.model_validate_json(delivery.data).document)

    subscription = await library.bus.subscribe(subjects.ingest_events(document.id), hear)
    await library.parts.ingestion.run(job)
    await asyncio.sleep(0)
    await subscription.unsubscribe()
    assert [one.status for one in heard][-1] is DocumentStatus.READY
    done = [one.chunks_done for one in heard]
    assert done == sorted(done)
    assert {0, 32, 64, heard[-1].chunks} <= set(done)


# -- cancelling ------------------------------------------------------------------------------------


async def test_a_document_that_is_cancelled_in_the_queue_is_not_read(library: Library) -> None:
    document, job = await job_of(library, LONG)
    assert (await cancel(library, document)).status is DocumentStatus.CANCELLED
    await library.parts.ingestion.run(job)
    assert (await library.read(document.id)).status is DocumentStatus.CANCELLED
    assert library.npu.requests == []


async def test_a_running_job_sees_that_it_is_cancelled_and_leaves_only_the_original(library: Library) -> None:
    document, job = await job_of(library, LONG)

    async def embed(request: Embed) -> Embeddings:
        if len(library.npu.requests) == 1:
            await cancel(library, document)
        return await library.npu.embed(request)

    library.bus.answer(subjects.NPU_EMBED, Embed, embed)
    await library.parts.ingestion.run(job)
    cancelled = await library.read(document.id)
    assert (cancelled.status, cancelled.chunks_done) == (DocumentStatus.CANCELLED, 0)
    assert await library.index.count(OWNER, document.id) == 0
    assert await terms(library) == {}
    assert list(library.bus.objects.kept) == [job.object_key]
    assert len(library.npu.requests) < 4


@pytest.mark.parametrize("how", ["upload", "reindex"])
async def test_a_cancelled_document_can_be_started_again(library: Library, how: str) -> None:
    document, job = await job_of(library, LONG)
    await cancel(library, document)
    await library.parts.ingestion.run(job)
    if how == "upload":
        again = await library.upload(LONG, "long.txt")
    else:
        await reindex(library, document)
        assert await library.parts.jobs.sweep() == 1
        await library.work()
        again = await library.read(document.id)
    assert (again.id, again.status) == (document.id, DocumentStatus.READY)
    assert await library.index.count(OWNER, document.id) == again.chunks


async def test_what_is_through_or_not_yours_cannot_be_cancelled(library: Library) -> None:
    document = await library.upload(b"Words.")
    with pytest.raises(ParleyError) as caught:
        await cancel(library, document)
    assert (caught.value.code, caught.value.field) == (ErrorCode.CONFLICT, "document_id")
    for ask in (cancel, reindex):
        with pytest.raises(ParleyError) as caught:
            await ask(library, document, OTHER)
        assert caught.value.code is ErrorCode.NOT_FOUND


# -- reading again ---------------------------------------------------------------------------------


async def test_a_document_that_is_read_again_serves_all_the_while_and_ends_the_same(library: Library) -> None:
    document = await library.upload(LONG, "long.txt")
    before = (await library.chunks(), await terms(library))
    served: list[int] = []

    async def embed(request: Embed) -> Embeddings:
        if len(request.texts) > 1:  # the passages, not the query of the search here
            served.append(len(await library.search("paragraph subject")))
        return await library.npu.embed(request)

    assert (await reindex(library, document)).is_reindexing
    assert await library.parts.jobs.sweep() == 1
    library.npu.requests.clear()
    library.bus.answer(subjects.NPU_EMBED, Embed, embed)
    await library.work()
    library.bus.answer(subjects.NPU_EMBED, Embed, library.npu.embed)
    after = await library.read(document.id)
    assert (after.status, after.is_reindexing) == (DocumentStatus.READY, False)
    assert (await library.chunks(), await terms(library)) == before
    assert sum(len(request.texts) for request in library.npu.requests) >= after.chunks
    assert len(served) == 3
    assert all(served)


async def test_a_reading_that_makes_fewer_passages_leaves_none_of_the_old_ones(
    library: Library, settings: RagSettings
) -> None:
    created, job = await job_of(library, LONG)
    shorter = settings.model_copy(update={"rag_passage_chars": 200})
    await another_process(library, shorter).ingestion.run(job)
    document = await library.read(created.id)
    await reindex(library, document)
    await library.parts.jobs.sweep()
    await library.work()
    after = await library.read(document.id)
    assert after.chunks < document.chunks
    assert await library.index.count(OWNER, document.id) == after.chunks == after.chunks_done
    assert len(await library.chunks()) == after.chunks


async def test_a_document_that_cannot_be_read_again_serves_on_and_says_why(library: Library) -> None:
    document = await library.upload(b"The pump moves water.")
    library.bus.objects.kept.clear()
    async with library.database.writing() as session:
        await session.execute(update(DocumentRow).values(wanted_at_ms=0))
    await reindex(library, document)
    await library.parts.jobs.sweep()
    await library.work()
    after = await library.read(document.id)
    assert (after.status, after.is_reindexing) == (DocumentStatus.READY, False)
    assert "not completed" in (after.error or "")
    assert [passage.text for passage in await library.search("pump")] == ["The pump moves water."]


async def test_a_collection_is_read_again_whole_and_asking_twice_does_it_once(library: Library) -> None:
    ready = await library.upload(b"The pump moves water.", "pump.txt")
    failed = await library.upload(b"MZ\x90\x00", "setup.txt")
    elsewhere = await library.upload(b"The kettle boils.", collection="other")
    request = ReindexCollection(owner_id=OWNER, name="default")
    counts = [(await library.parts.handlers.reindex_collection(request)).documents for _ in range(2)]
    assert counts[0] == 2
    await library.parts.jobs.sweep()
    assert await library.parts.jobs.sweep() == 0
    assert sorted(await library.work()) == sorted([ready.id, failed.id])
    assert (await library.read(ready.id)).status is DocumentStatus.READY
    assert (await library.read(failed.id)).status is DocumentStatus.FAILED
    assert not (await library.read(elsewhere.id)).is_reindexing
    with pytest.raises(ParleyError):
        await library.parts.handlers.reindex_collection(ReindexCollection(owner_id=OTHER, name="default"))


async def test_an_index_that_was_lost_is_filled_from_the_stored_passages(library: Library) -> None:
    documents = [
        await library.upload(LONG, "long.txt"),
        await library.upload(b"The pump moves water.", "b.txt"),
    ]
    before = (await library.chunks(), await terms(library))
    for document in documents:
        await library.index.remove_document(OWNER, document.id)
    library.bus.objects.kept.clear()
    await library.parts.jobs.index_all_again()
    assert await terms(library) == {}
    assert await library.parts.jobs.sweep() == 2
    await library.work()
    for document in documents:
        assert await library.index.count(OWNER, document.id) == document.chunks
        assert not (await library.read(document.id)).is_reindexing
    assert (await library.chunks(), await terms(library)) == before


# -- lost jobs -------------------------------------------------------------------------------------


async def age(library: Library, document: Document, minutes: int) -> None:
    async with library.database.writing() as session:
        await session.execute(
            update(DocumentRow)
            .where(DocumentRow.id == document.id)
            .values(
                job_at_ms=DocumentRow.job_at_ms - minutes * MINUTE_MS,
                wanted_at_ms=DocumentRow.wanted_at_ms - minutes * MINUTE_MS,
            )
        )


async def test_an_upload_whose_gateway_died_before_the_job_is_finished_by_the_sweep(library: Library) -> None:
    document, _ = await job_of(library, b"Words.")
    assert await library.parts.jobs.sweep() == 0  # its gateway may be about to queue it
    await age(library, document, minutes=3)
    assert await library.parts.jobs.sweep() == 1
    assert await library.parts.jobs.sweep() == 0
    assert await library.work() == [document.id]
    assert (await library.read(document.id)).status is DocumentStatus.READY


async def test_a_job_that_waits_its_turn_is_not_taken_for_lost(library: Library) -> None:
    waiting, _ = await job_of(library, b"Waits.", "a.txt")
    await library.parts.jobs.publish(OWNER, waiting.id)
    await age(library, waiting, minutes=60)
    assert await library.parts.jobs.sweep() == 0
    assert await library.work() == [waiting.id]


async def test_a_lost_job_is_found_while_the_queue_is_never_empty(library: Library) -> None:
    lost, _ = await job_of(library, b"Lost.", "a.txt")
    await age(library, lost, minutes=10)
    later, job = await job_of(library, b"Later.", "b.txt")
    waiting, _ = await job_of(library, b"Waits.", "c.txt")
    await library.parts.jobs.publish(OWNER, waiting.id)
    assert await library.parts.jobs.sweep() == 0
    await library.parts.ingestion.run(job)
    assert await library.parts.jobs.sweep() == 1
    assert sorted(await library.work()) == sorted([waiting.id, lost.id])
    assert (await library.read(later.id)).status is DocumentStatus.READY


# -- two processes ---------------------------------------------------------------------------------


async def test_two_processes_with_one_job_make_its_passages_once(
    library: Library, settings: RagSettings
) -> None:
    document, job = await job_of(library, LONG)
    twin = another_process(library, settings)
    ends = await asyncio.gather(
        library.parts.ingestion.run(job), twin.ingestion.run(job), return_exceptions=True
    )
    faults = [end for end in ends if end is not None]
    assert all(isinstance(end, ParleyError) and end.code is ErrorCode.CONFLICT for end in faults)
    for _ in range(3):  # what gave up is delivered again
        await twin.ingestion.run(job)
    after = await library.read(document.id)
    assert after.status is DocumentStatus.READY
    assert await library.index.count(OWNER, document.id) == after.chunks == after.chunks_done
    statistics = await terms(library)
    assert statistics[-1] == after.chunks


# -- another model ---------------------------------------------------------------------------------


async def test_a_library_that_is_read_again_whole_may_be_of_another_model(library: Library) -> None:
    document = await library.upload(LONG, "long.txt")
    left: list[int] = []
    real_put = library.index.put

    async def other_model(request: Embed) -> Embeddings:
        made = await library.npu.embed(request)
        return made.model_copy(update={"engine": "another"})

    async def put(passages: Sequence[IndexedPassage]) -> None:
        left.append(await library.index.count(OWNER, document.id))
        await real_put(passages)

    library.bus.answer(subjects.NPU_EMBED, Embed, other_model)
    library.index.put = put
    await reindex(library, document)
    await library.parts.jobs.sweep()
    await library.work()
    after = await library.read(document.id)
    assert (after.status, after.error) == (DocumentStatus.READY, None)
    assert left == [0, 32, 64]
    assert (await library.search("paragraph subject"))[0].document.id == document.id
