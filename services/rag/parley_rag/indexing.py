"""Puts a document's stored passages into the vector index: from where an earlier run stopped to the last."""

import asyncio
from collections import deque
from dataclasses import dataclass

from parley_contracts.errors import ParleyError

from parley_rag.documents import Documents
from parley_rag.embedding import Embedder, Vectors
from parley_rag.indexed_passages import dated_ms, indexed_text, terms_of
from parley_rag.measures import Measures
from parley_rag.passages import Passages
from parley_rag.progress import Progress
from parley_rag.tables import ChunkRow, DocumentRow
from parley_rag.vector_space import VectorSpaces
from parley_rag.vectors import IndexedPassage, VectorIndex

_BATCH = 32
_BATCHES_AT_NPU = 2  # its lanes stay busy while a batch is written; more would only lengthen its queue
_EMBED_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class _Batch:
    """Passages whose vectors are under way."""

    chunks: list[ChunkRow]
    texts: tuple[str, ...]
    vectors: asyncio.Task[Vectors | ParleyError]


class Stopped(Exception):
    """The document was deleted or cancelled while it was worked on, or somebody else works on it."""


class Indexing:
    """Embeds passages and writes them, batch by batch; what is written is noted with each."""

    def __init__(
        self,
        *,
        documents: Documents,
        passages: Passages,
        spaces: VectorSpaces,
        index: VectorIndex,
        embedder: Embedder,
        progress: Progress,
        measures: Measures,
    ) -> None:
        self._documents = documents
        self._passages = passages
        self._spaces = spaces
        self._index = index
        self._embedder = embedder
        self._progress = progress
        self._measures = measures

    async def complete(self, document: DocumentRow) -> None:
        """Index what is not indexed of a document, until the index holds all of it on disk.

        Passages keep their ids, so those of an earlier reading serve until each is replaced; where there were
        more, they are removed first.

        Raises:
            Stopped: The document is gone, cancelled, or indexed elsewhere.
            OtherVectorSpace: The index was made by another model.
        """
        owner_id, document_id = document.owner_id, document.id
        language = await self._documents.language(document)
        done = document.chunks_done
        if done == 0 and await self._index.count(owner_id, document_id) > document.chunks:
            await self._index.remove_document(owner_id, document_id)
        await self._index_from(document, language, done)
        if await self._index.count(owner_id, document_id) != document.chunks:
            await self._documents.rewind(owner_id, document_id)
            await self._index.remove_document(owner_id, document_id)
            await self._index_from(document, language, 0)
        await self._index.flush()

    async def _index_from(self, document: DocumentRow, language: str, first: int) -> None:
        """Embed and index the passages from `first` on; npu has further batches while one is written."""
        try:
            async with asyncio.TaskGroup() as group:
                under_way: deque[_Batch] = deque()
                done = first
                while chunks := await self._passages.of_document(
                    document.owner_id, document.id, first, _BATCH
                ):
                    texts = tuple(
                        indexed_text(document, chunk.heading, chunk.text, chunk.context) for chunk in chunks
                    )
                    under_way.append(_Batch(chunks, texts, group.create_task(self._embedded(texts))))
                    first += len(chunks)
                    if len(under_way) == _BATCHES_AT_NPU:
                        done += await self._write(document, language, under_way.popleft(), done)
                for batch in under_way:
                    done += await self._write(document, language, batch, done)
        except ExceptionGroup as errors:  # only the writer raises, and its error ends what is under way
            raise errors.exceptions[0] from errors

    async def _embedded(self, texts: tuple[str, ...]) -> Vectors | ParleyError:
        """Return vectors, or the error for the writer to raise once the batches before are written."""
        try:
            return await self._embedder.embed(texts, _EMBED_TIMEOUT_S)
        except ParleyError as error:
            return error

    async def _write(self, document: DocumentRow, language: str, batch: _Batch, done: int) -> int:
        """Index the batch from `done` on once its vectors are there; return its length."""
        vectors = await batch.vectors
        if isinstance(vectors, ParleyError):
            raise vectors
        if await self._spaces.claim(vectors.space):  # none of the old space stays until it is replaced
            await self._index.remove_document(document.owner_id, document.id)
        terms = await terms_of(batch.texts, language)
        await self._index.put(
            [
                IndexedPassage(
                    id=chunk.id,
                    owner_id=document.owner_id,
                    collection=document.collection,
                    document_id=document.id,
                    content_type=document.content_type,
                    dated_ms=dated_ms(document),
                    vector=vector,
                    terms=cut,
                )
                for chunk, cut, vector in zip(batch.chunks, terms, vectors.rows, strict=True)
            ]
        )
        self._measures.passages.inc(len(batch.chunks))
        if not await self._documents.advance(document, done, terms):
            raise Stopped
        await self._progress.tell(document.owner_id, document.id)
        return len(batch.chunks)
