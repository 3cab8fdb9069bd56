"""What a client does with documents: upload, ingest, look, search."""

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from parley_contracts.citations import Passage
from parley_contracts.rag import (
    CreateDocument,
    Document,
    DocumentCreated,
    IngestDocument,
    ListDocuments,
    ReadDocument,
    Search,
)
from parley_messaging import queues
from parley_messaging.memory_bus import MemoryBus
from parley_rag.assembly import Parts
from parley_rag.backends.memory import MemoryIndex
from parley_rag.database import Database
from parley_rag.indexed_passages import indexed_text
from parley_rag.tables import ChunkRow, CollectionRow, DocumentRow
from parley_rag.words import weights_of
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from tests.fakes.data_keys import FakeDataKeys, originals_on
from tests.fakes.embedding import FakeNpu

OWNER = "ada"
OTHER = "bob"


@dataclass(frozen=True, slots=True)
class Library:
    """One rag service and the means to use it."""

    bus: MemoryBus
    database: Database
    index: MemoryIndex
    npu: FakeNpu
    parts: Parts
    registry: CollectorRegistry
    data_keys: FakeDataKeys

    async def create(
        self, content: bytes, name: str = "notes.txt", *, owner: str = OWNER, collection: str = "default"
    ) -> DocumentCreated:
        return await self.parts.handlers.create_document(
            CreateDocument(
                owner_id=owner,
                collection=collection,
                name=name,
                size_bytes=max(1, len(content)),
                sha256=sha256(content).hexdigest(),
            )
        )

    async def put(self, content: bytes, document: Document, owner: str = OWNER) -> IngestDocument:
        key = f"{owner}/{document.id}"
        await self.bus.objects.put(key, content)
        return IngestDocument(owner_id=owner, document_id=document.id, object_key=key)

    async def original(self, document: Document, owner: str = OWNER) -> bytes:
        """Return a document's original as another process reads it."""
        originals = originals_on(self.bus)
        return await originals.get(owner, document.id, document.sha256, is_sealed=document.is_sealed)

    async def upload_sealed(self, content: bytes, name: str = "notes.txt", owner: str = OWNER) -> Document:
        """Create and put as gateways do, without running the job."""
        wanted = CreateDocument(
            owner_id=owner,
            name=name,
            size_bytes=len(content),
            sha256=sha256(content).hexdigest(),
            is_sealed=True,
        )
        created = await self.parts.handlers.create_document(wanted)
        await originals_on(self.bus).put(owner, created.document.id, wanted.sha256, content)
        return created.document

    async def ingest(self, document: Document, owner: str = OWNER) -> Document:
        """Run a document's job once; return the document as it is afterwards."""
        key = f"{owner}/{document.id}"
        job = IngestDocument(owner_id=owner, document_id=document.id, object_key=key)
        await self.parts.ingestion.run(job)
        return await self.read(document.id, owner)

    async def upload(
        self, content: bytes, name: str = "notes.txt", *, owner: str = OWNER, collection: str = "default"
    ) -> Document:
        """Create, put and ingest; return the document as it is afterwards."""
        created = await self.create(content, name, owner=owner, collection=collection)
        await self.parts.ingestion.run(await self.put(content, created.document, owner))
        return await self.read(created.document.id, owner)

    async def work(self) -> list[str]:
        """Run the jobs in the queue until it is empty, each once; return the documents they were for."""
        source = await self.bus.open_jobs(queues.INGEST)
        worked: list[str] = []
        while (delivered := await source.fetch(0.01)) is not None:
            job = IngestDocument.model_validate_json(delivered.data)
            worked.append(job.document_id)
            await self.parts.ingestion.run(job)
            await delivered.ack()
        return worked

    async def listed(self, **wanted: Any) -> dict[str, Document]:
        """Return the owner's documents by name."""
        page = await self.parts.handlers.list_documents(ListDocuments(owner_id=OWNER, **wanted))
        return {document.name: document for document in page.documents}

    async def read(self, document_id: str, owner: str = OWNER) -> Document:
        return await self.parts.handlers.read_document(ReadDocument(owner_id=owner, document_id=document_id))

    async def names(self, owner: str = OWNER) -> list[str]:
        page = await self.parts.handlers.list_documents(ListDocuments(owner_id=owner))
        return [document.name for document in page.documents]

    async def search(self, query: str, *, owner: str = OWNER, limit: int = 8) -> tuple[Passage, ...]:
        found = await self.parts.searching.search(Search(owner_id=owner, query=query, limit=limit))
        return found.results

    async def chunks(self) -> list[tuple[str, int, int, str]]:
        async with self.database.reading() as session:
            rows = await session.scalars(select(ChunkRow).order_by(ChunkRow.document_id, ChunkRow.ordinal))
            return [(row.id, row.start_offset, row.end_offset, row.text) for row in rows]


async def recounted(library: Library, owner: str = OWNER) -> dict[int, int]:
    """Count the words of an owner's indexed passages anew, from their texts."""
    query = (
        select(ChunkRow, DocumentRow, CollectionRow.language)
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .join(CollectionRow, CollectionRow.name == DocumentRow.collection)
        .where(ChunkRow.owner_id == owner, CollectionRow.owner_id == owner)
        .where(ChunkRow.ordinal < DocumentRow.chunks_done)
    )
    found: Counter[int] = Counter()
    async with library.database.reading() as session:
        for chunk, document, language in (await session.execute(query)).all():
            found.update(
                [
                    -1,
                    *weights_of(language).of_passage(
                        indexed_text(document, chunk.heading, chunk.text, chunk.context)
                    )[0],
                ]
            )
    return dict(found)
