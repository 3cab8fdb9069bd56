"""A vector index on a Qdrant server (1.10 or later), for stacks of more than one machine."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from parley_contracts.errors import ErrorCode, ParleyError
from qdrant_client import models
from qdrant_client.http.exceptions import ResponseHandlingException

from parley_rag.vectors import Candidate, IndexedPassage, Scope
from parley_rag.words import Terms

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient

_DENSE, _WORDS = "meaning", "words"
_KEYS = ("owner_id", "collection", "document_id", "content_type")
_DATE = "dated_ms"
_TIMEOUT_S = 10


class ServerIndex:
    """Keeps passages in one Qdrant collection."""

    def __init__(self, client: "AsyncQdrantClient", collection: str) -> None:
        self._client = client
        self._collection = collection

    async def prepare(self, dimensions: int, *, with_payload_indexes: bool = True) -> None:
        """Create the collection and its payload indexes where they are missing."""
        if not await self._client.collection_exists(self._collection):
            await self._client.create_collection(
                self._collection,
                vectors_config={
                    _DENSE: models.VectorParams(size=dimensions, distance=models.Distance.COSINE)
                },
                sparse_vectors_config={_WORDS: models.SparseVectorParams()},
            )
        if with_payload_indexes:
            for key in _KEYS:
                await self._client.create_payload_index(
                    self._collection,
                    key,
                    models.KeywordIndexParams(
                        type=models.KeywordIndexType.KEYWORD, is_tenant=key == "owner_id" or None
                    ),
                )
            await self._client.create_payload_index(self._collection, _DATE, models.PayloadSchemaType.INTEGER)

    async def put(self, passages: Sequence[IndexedPassage]) -> None:
        points = [
            models.PointStruct(
                id=passage.id,
                vector={_DENSE: _floats(passage.vector), _WORDS: _sparse(passage.terms)},
                payload={key: getattr(passage, key) for key in (*_KEYS, _DATE)},
            )
            for passage in passages
        ]
        await self._client.upsert(self._collection, points, wait=True)

    async def search(
        self, terms: Terms, vector: bytes | None, scope: Scope, limit: int
    ) -> tuple[Candidate, ...]:
        inside = _inside(scope)
        near = await self._near(vector, inside, limit) if vector else {}
        worded = await self._worded(terms, inside, limit) if terms[0] else {}
        if vector and (only_worded := [id_ for id_ in worded if id_ not in near]):
            near |= await self._near(vector, _among(only_worded), limit)
        if terms[0] and (only_near := [id_ for id_ in near if id_ not in worded]):
            worded |= await self._worded(terms, _among(only_near), limit)
        return tuple(Candidate(id_, near.get(id_), worded.get(id_, 0.0)) for id_ in near | worded)

    async def _near(self, vector: bytes, inside: models.Filter, limit: int) -> dict[str, float]:
        return await self._query(_floats(vector), _DENSE, inside, limit)

    async def _worded(self, terms: Terms, inside: models.Filter, limit: int) -> dict[str, float]:
        return await self._query(_sparse(terms), _WORDS, inside, limit)

    async def _query(
        self, query: list[float] | models.SparseVector, using: str, inside: models.Filter, limit: int
    ) -> dict[str, float]:
        try:
            found = await self._client.query_points(
                self._collection,
                query=query,
                using=using,
                query_filter=inside,
                limit=limit,
                with_payload=False,
            )
        except ResponseHandlingException as error:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The search index does not answer.") from error
        return {str(point.id): point.score for point in found.points}

    async def remove_document(self, owner_id: str, document_id: str) -> None:
        selector = models.FilterSelector(filter=_document(owner_id, document_id))
        await self._client.delete(self._collection, selector, wait=True)

    async def count(self, owner_id: str, document_id: str) -> int:
        counted = await self._client.count(
            self._collection, count_filter=_document(owner_id, document_id), exact=True
        )
        return counted.count

    async def flush(self) -> None:
        """Do nothing: an acknowledged write is in the server's log."""

    async def check(self) -> None:
        if not await self._client.collection_exists(self._collection):
            raise ParleyError(ErrorCode.UNAVAILABLE, "The search index has no collection.")


def _floats(vector: bytes) -> list[float]:
    return [float(value) for value in memoryview(vector).cast("f")]


def _sparse(terms: Terms) -> models.SparseVector:
    return models.SparseVector(indices=terms[0], values=terms[1])


def _is(key: str, values: tuple[str, ...]) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))


def _inside(scope: Scope) -> models.Filter:
    must: list[models.Condition] = [_is("owner_id", (scope.owner_id,))]
    if scope.collections is not None:
        must.append(_is("collection", scope.collections))
    if scope.document_ids is not None:
        must.append(_is("document_id", scope.document_ids))
    if scope.content_types is not None:
        must.append(_is("content_type", scope.content_types))
    if scope.dated_from_ms is not None or scope.dated_before_ms is not None:
        dates = models.Range(gte=scope.dated_from_ms, lt=scope.dated_before_ms)
        must.append(models.FieldCondition(key=_DATE, range=dates))
    hidden = scope.hidden_document_ids
    return models.Filter(must=must, must_not=[_is("document_id", hidden)] if hidden else None)


def _among(ids: list[str]) -> models.Filter:
    return models.Filter(must=[models.HasIdCondition(has_id=list(ids))])


def _document(owner_id: str, document_id: str) -> models.Filter:
    return models.Filter(must=[_is("owner_id", (owner_id,)), _is("document_id", (document_id,))])


@asynccontextmanager
async def open_server(url: str, collection: str, dimensions: int) -> AsyncGenerator[ServerIndex, None]:
    """Yield the index on the server at `url`."""
    from qdrant_client import AsyncQdrantClient  # noqa: PLC0415  loads grpc, which only this backend needs

    client = AsyncQdrantClient(url=url, timeout=_TIMEOUT_S)
    try:
        index = ServerIndex(client, collection)
        await index.prepare(dimensions)
        yield index
    finally:
        await client.close()
