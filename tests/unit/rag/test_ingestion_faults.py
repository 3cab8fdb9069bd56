"""Whatever is asked for, fails or is killed: in the end table, index, originals and counts agree."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import (
    CancelDocument,
    DeleteCollection,
    DeleteDocument,
    DocumentStatus,
    IngestDocument,
    ReindexCollection,
    ReindexDocument,
)
from parley_messaging import queues
from parley_messaging.bus import QueuedJob
from parley_rag.assembly import assemble
from parley_rag.measures import Measures
from parley_rag.nursery import open_nursery
from parley_rag.settings import RagSettings
from parley_rag.tables import ArchiveMemberRow, DocumentRow, DocumentTextRow, RemovalRow, TermRow
from prometheus_client import CollectorRegistry
from sqlalchemy import select, update

from tests.unit.rag.library import OWNER, Library, recounted
from tests.unit.rag.office_files import zipped

STEPS = 60
COLLECTIONS = ("default", "other")


def herds(number: int, entries: int) -> bytes:
    return "\n\n".join(
        f"# Entry {number} {entry}\n\n" + f"The herd of {number} sheep crossed river {entry}. " * 20
        for entry in range(entries)
    ).encode()


FILES = [herds(0, 3), herds(1, 40), herds(2, 50), herds(3, 1), b"MZ\x90\x00", b"   "]
ARCHIVES = [
    zipped({"a.md": FILES[0], "b.md": FILES[1], "c.pdf": FILES[4]}),
    zipped({"a.md": FILES[3], "b.md": FILES[1], "../out.txt": b"Out."}),
    zipped({"c.pdf": FILES[4]}),
]


class Troubled:
    """Two processes of the service, whose parts fail and are killed for as long as there is trouble."""

    def __init__(self, seed: int, libraries: list[Library]) -> None:
        self.libraries = libraries
        self.random = Random(seed)
        self.is_troubled = True
        bus, index = libraries[0].bus, libraries[0].index
        for thing, names in (
            (index, ("put", "remove_document", "count")),
            (bus.objects, ("put", "get", "delete")),
            (bus, ("store",)),
        ):
            for name in names:
                setattr(thing, name, self._failing(getattr(thing, name)))
        self._embed = self._failing(libraries[0].npu.embed)
        bus.answer(subjects.NPU_EMBED, Embed, self.embed)

    async def embed(self, request: Embed) -> Embeddings:
        return await self._embed(request)

    def _failing(self, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def worked(*arguments: Any, **named: Any) -> Any:
            await self._meet_trouble()
            result = await work(*arguments, **named)
            await self._meet_trouble()
            return result

        return worked

    async def _meet_trouble(self) -> None:
        for _ in range(self.random.choice((0, 1, 10, 40))):
            await asyncio.sleep(0)
        if self.is_troubled and self.random.random() < 0.03:
            raise ParleyError(ErrorCode.UNAVAILABLE, "trouble")

    @property
    def library(self) -> Library:
        return self.random.choice(self.libraries)

    async def ask(self) -> None:
        """Ask for something; what is refused, or fails, is."""
        library, handlers = self.library, self.library.parts.handlers
        async with library.database.reading() as session:
            ids = list(await session.scalars(select(DocumentRow.id).order_by(DocumentRow.created_at_ms)))
        one = self.random.choice([*ids, "missing"])
        name = self.random.choice(COLLECTIONS)
        (asked,) = self.random.choices(
            (
                lambda: self._upload(library, name),
                lambda: handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=one)),
                lambda: handlers.cancel_document(CancelDocument(owner_id=OWNER, document_id=one)),
                lambda: handlers.reindex_document(ReindexDocument(owner_id=OWNER, document_id=one)),
                lambda: handlers.reindex_collection(ReindexCollection(owner_id=OWNER, name=name)),
                lambda: handlers.delete_collection(DeleteCollection(owner_id=OWNER, name=name)),
                library.parts.removals.finish,
                library.parts.jobs.sweep,
            ),
            weights=(20, 5, 5, 6, 2, 1, 2, 2),
        )
        try:
            await asked()
        except ParleyError:
            return

    async def _upload(self, library: Library, collection: str) -> None:
        content, name = self.random.choice(
            [(one, f"{place}.md") for one in FILES for place in "abc"]
            + [(one, f"{place}.zip") for one in ARCHIVES for place in "xy"] * 2
        )
        created = await library.create(content, name, collection=collection)
        if created.needs_content:
            await library.put(content, created.document)
            await library.parts.jobs.publish(OWNER, created.document.id)

    async def work(self) -> bool:
        """Run a job, or kill who runs it; False when there is none."""
        source = await self.libraries[0].bus.open_jobs(queues.INGEST)
        delivered = await source.fetch(0.001)
        if delivered is None:
            return False
        running = asyncio.ensure_future(self._run(delivered))
        if self.is_troubled and self.random.random() < 0.3:
            await asyncio.wait([running], timeout=self.random.random() * 0.1)
            running.cancel()
        await asyncio.wait([running])
        if running.cancelled():
            await delivered.release(0)
        else:
            running.result()
        return True

    async def _run(self, delivered: QueuedJob) -> None:
        try:
            await self.library.parts.ingestion.run(IngestDocument.model_validate_json(delivered.data))
        except ParleyError:
            await delivered.release(0)
        else:
            await delivered.ack()

    async def come_to_rest(self) -> None:
        """Let what was lost be found, and all jobs be done."""
        self.is_troubled = False
        library = self.libraries[0]
        swept = 1
        while swept:
            while await self.work():
                pass
            async with library.database.writing() as session:
                await session.execute(
                    update(DocumentRow)
                    .where(DocumentRow.job_at_ms > 1)
                    .values(job_at_ms=1, wanted_at_ms=DocumentRow.wanted_at_ms - 600_000)
                )
            swept = await library.parts.jobs.sweep()
        await library.parts.removals.finish()


@pytest.fixture
async def twins(library: Library, settings: RagSettings) -> AsyncGenerator[list[Library]]:
    async with open_nursery() as nursery:

        def another() -> Library:
            measures = Measures(CollectorRegistry())
            parts = assemble(
                library.database, library.index, library.bus, settings, measures, processes=nursery
            )
            return replace(library, parts=parts)

        yield [another(), another()]


async def disagreements(library: Library) -> list[str]:
    """Return what is not as it should be where nothing is under way."""
    async with library.database.reading() as session:
        rows = {row.id: row for row in await session.scalars(select(DocumentRow))}
        texts = set(await session.scalars(select(DocumentTextRow.document_id)))
        members = {
            (row.archive_id, row.document_id) for row in await session.scalars(select(ArchiveMemberRow))
        }
        terms = {row.term: row.passages for row in await session.scalars(select(TermRow))}
        removals = list(await session.scalars(select(RemovalRow.document_id)))
    found = [f"not removed: {removals}"] * bool(removals)
    found += ["the words are not counted as they are"] * (terms != await recounted(library))
    found += [f"text of none: {one}" for one in texts - rows.keys()]
    found += [f"original of none: {key}" for key in library.bus.objects.kept if key.split("/")[1] not in rows]
    indexed = await library.index.page(None, 1_000_000)
    passages = Counter(one.document_id for one in indexed[0])
    found += [f"vectors of none: {one}" for one in passages.keys() - rows.keys()]
    names: Counter[tuple[str, str]] = Counter()
    for row in rows.values():
        names[row.collection, row.name] += row.status == DocumentStatus.READY
        is_ready = row.status == DocumentStatus.READY
        as_it_should = (
            row.status in (DocumentStatus.READY, DocumentStatus.FAILED, DocumentStatus.CANCELLED),
            row.job_at_ms is None,
            row.chunks_done == passages[row.id] == (row.chunks if is_ready else 0),
            not is_ready or row.members == row.members_done,
            row.archive_id is None or (row.archive_id, row.id) in members,
        )
        if not all(as_it_should):
            found.append(f"{row.name} {row.status} {row.chunks_done}/{row.chunks}: {as_it_should}")
    return found + [f"twice ready: {name}" for name, count in names.items() if count > 1]


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_trouble_table_index_originals_and_counts_agree(
    twins: list[Library], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("removals._PASSAGES_AT_ONCE", "indexed_passages._DISCOUNTED"):
        monkeypatch.setattr(f"parley_rag.{name}", 10)
    for name in ("removals.MOST_AT_ONCE", "document_collections.MOST_AT_ONCE", "archives._COUNTS"):
        monkeypatch.setattr(f"parley_rag.{name}", 2)
    troubled = Troubled(seed, twins)
    running: set[asyncio.Task[Any]] = set()
    for _ in range(STEPS):
        step = troubled.ask if troubled.random.random() < 0.5 else troubled.work
        running.add(asyncio.create_task(step()))
        done, running = await asyncio.wait(
            running, timeout=0.02 if len(running) < 4 else None, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
    await asyncio.gather(*running)
    await troubled.come_to_rest()
    assert await disagreements(twins[0]) == []
