"""A vector index on a Qdrant server (1.10 or later), for stacks of more than one machine."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from parley_contracts.errors import ErrorCode, ParleyError
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException

from parley_rag.vectors import Candidate, IndexedPassage, Scope, floats, packed
from parley_rag.words import Terms

T = TypeVar("T")
_log = logging.getLogger("parley.rag")
_FORMAT = 2  # 1 had word weights made by the engine, without types and dates
_LEAST_VERSION = (1, 10)  # the first with `query`
_DENSE, _WORDS = "meaning", "words"
_KEYS = ("owner_id", "collection", "document_id", "content_type")
_DATE = "dated_ms"
_TIMEOUT_S = 10
_PUT = 500  # passages in one request: some megabytes
# As in the embedded index (`edge_shard.py`); a server walks few large segments, so it walks them further.
_HNSW = models.HnswConfigDiff(m=16, ef_construct=100)
_QUANTIZATION = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
)
_WALK = models.SearchParams(
    hnsw_ef=128, quantization=models.QuantizationSearchParams(rescore=True, oversampling=1.5)
)
_EXACT = models.SearchParams(exact=True)
# The client lets through what its HTTP library, its parser and its own assertions raise.
_FAILURES = (ApiException, QdrantException, OSError, ValueError, TypeError, KeyError, AssertionError)


class ServerIndex:
    """Keeps passages in one Qdrant collection, whose name carries the format."""

    def __init__(self, client: AsyncQdrantClient, collection: str) -> None:
        self.made_anew = False
        self._client = client
        self._collection = f"{collection}_{_FORMAT}"

    async def prepare(self, dimensions: int) -> None:
        """Create the collection and its payload indexes where they are missing."""
        if await self._exists():
            await self._require_dimensions(dimensions)
        else:
            await self._asked(
                self._client.create_collection(
                    self._collection,
                    vectors_config={
                        _DENSE: models.VectorParams(
                            size=dimensions,
                            distance=models.Distance.COSINE,
                            on_disk=True,
                            hnsw_config=_HNSW,
                            quantization_config=_QUANTIZATION,
                        )
                    },
                    sparse_vectors_config={_WORDS: models.SparseVectorParams()},
                )
            )
        # Empty is as good as new: filling it anew may have been broken off before its first passage.
        self.made_anew = not await self.total()
        for key in _KEYS:
            keyword = models.KeywordIndexType.KEYWORD
            await self._create_payload_index(
                key, models.KeywordIndexParams(type=keyword, is_tenant=key == "owner_id" or None)
            )
        await self._create_payload_index(_DATE, models.PayloadSchemaType.INTEGER)

    async def _require_dimensions(self, dimensions: int) -> None:
        collection = await self._asked(self._client.get_collection(self._collection))
        vectors = collection.config.params.vectors
        made_for = vectors[_DENSE].size if isinstance(vectors, dict) and _DENSE in vectors else None
        if made_for != dimensions:
            extra = {"collection": self._collection, "dimensions": made_for, "wanted": dimensions}
            _log.error("Qdrant collection is for vectors of another length", extra=extra)
            raise ParleyError(ErrorCode.UNAVAILABLE, "The search index is for vectors of another length.")

    async def _create_payload_index(
        self, key: str, schema: models.KeywordIndexParams | models.PayloadSchemaType
    ) -> None:
        await self._asked(self._client.create_payload_index(self._collection, key, schema))

    async def settle(self) -> None:
        self.made_anew = False

    async def require_version(self) -> None:
        """Raise when the server is older than what is asked of it."""
        version = (await self._asked(self._client.info())).version
        major, minor, *_ = (int(part) for part in version.split("-")[0].split("."))
        if (major, minor) < _LEAST_VERSION:
            _log.error("Qdrant server is too old", extra={"version": version})
            raise ParleyError(ErrorCode.UNAVAILABLE, "The search index is too old.")

    async def put(self, passages: Sequence[IndexedPassage]) -> None:
        for at in range(0, len(passages), _PUT):
            points = [_point(passage) for passage in passages[at : at + _PUT]]
            await self._asked(self._client.upsert(self._collection, points, wait=True))

    async def search(
        self, terms: Terms, vector: bytes | None, scope: Scope, limit: int
    ) -> tuple[Candidate, ...]:
        inside = _inside(scope)
        near = await self._near(vector, inside, limit, _WALK) if vector else {}
        worded = await self._worded(terms, inside, limit) if terms[0] else {}
        if vector and (only_worded := [id_ for id_ in worded if id_ not in near]):
            near |= await self._near(vector, _among(only_worded), len(only_worded), _EXACT)
        if terms[0] and (only_near := [id_ for id_ in near if id_ not in worded]):
            worded |= await self._worded(terms, _among(only_near), len(only_near))
        return tuple(Candidate(id_, near.get(id_), worded.get(id_, 0.0)) for id_ in near | worded)

    async def _near(
        self, vector: bytes, inside: models.Filter, limit: int, params: models.SearchParams
    ) -> dict[str, float]:
        return await self._query(floats(vector), _DENSE, inside, limit, params)

    async def _worded(self, terms: Terms, inside: models.Filter, limit: int) -> dict[str, float]:
        return await self._query(_sparse(terms), _WORDS, inside, limit, None)

    async def _query(
        self,
        query: list[float] | models.SparseVector,
        using: str,
        inside: models.Filter,
        limit: int,
        params: models.SearchParams | None,
    ) -> dict[str, float]:
        found = await self._asked(
            self._client.query_points(
                self._collection,
                query=query,
                using=using,
                query_filter=inside,
                search_params=params,
                limit=limit,
                with_payload=False,
            )
        )
        return {str(point.id): point.score for point in found.points}

    async def vectors(self, ids: Sequence[str]) -> dict[str, bytes]:
        records = await self._asked(
            self._client.retrieve(self._collection, list(ids), with_payload=False, with_vectors=[_DENSE])
        )
        found = ((str(record.id), cast("dict[str, Any]", record.vector)[_DENSE]) for record in records)
        return {id_: packed(vector) for id_, vector in found}

    async def remove_document(self, owner_id: str, document_id: str) -> None:
        selector = models.FilterSelector(filter=_document(owner_id, document_id))
        await self._asked(self._client.delete(self._collection, selector, wait=True))

    async def count(self, owner_id: str, document_id: str) -> int:
        inside = _document(owner_id, document_id)
        counted = await self._asked(self._client.count(self._collection, count_filter=inside, exact=True))
        return counted.count

    async def total(self) -> int:
        return (await self._asked(self._client.count(self._collection, exact=True))).count

    async def page(self, cursor: str | None, limit: int) -> tuple[tuple[IndexedPassage, ...], str | None]:
        records, following = await self._asked(
            self._client.scroll(
                self._collection, offset=cursor, limit=limit, with_payload=True, with_vectors=True
            )
        )
        passages = tuple(_passage(record) for record in records)
        return passages, None if following is None else str(following)

    async def flush(self) -> None:
        """Do nothing: an acknowledged write is in the server's log."""

    async def check(self) -> None:
        if not await self._exists():
            raise ParleyError(ErrorCode.UNAVAILABLE, "The search index has no collection.")

    async def _exists(self) -> bool:
        return await self._asked(self._client.collection_exists(self._collection))

    async def _asked(self, answer: Awaitable[T]) -> T:
        """Return what the server answers; ParleyError, with the reason in the log, when it does not."""
        try:
            return await answer
        except _FAILURES as error:
            reason = getattr(error, "source", error)
            _log.warning("Qdrant server failed", extra={"reason": f"{type(reason).__name__}: {reason}"[:500]})
            raise ParleyError(ErrorCode.UNAVAILABLE, "The search index does not answer.") from error


def _sparse(terms: Terms) -> models.SparseVector:
    return models.SparseVector(indices=terms[0], values=terms[1])


def _point(passage: IndexedPassage) -> models.PointStruct:
    return models.PointStruct(
        id=passage.id,
        vector={_DENSE: floats(passage.vector), _WORDS: _sparse(passage.terms)},
        payload={key: getattr(passage, key) for key in (*_KEYS, _DATE)},
    )


def _passage(record: models.Record) -> IndexedPassage:
    vectors = cast("dict[str, Any]", record.vector)
    words = cast("models.SparseVector", vectors[_WORDS])
    return IndexedPassage(
        id=str(record.id),
        vector=packed(vectors[_DENSE]),
        terms=(list(words.indices), list(words.values)),
        **(record.payload or {}),
    )


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
    """Yield the index on the server at `url`; `made_anew` says that its collection is empty."""
    # The client's own look at the version only warns, and on its own thread.
    client = AsyncQdrantClient(url=url, timeout=_TIMEOUT_S, check_compatibility=False)
    try:
        index = ServerIndex(client, collection)
        await index.require_version()
        await index.prepare(dimensions)
        yield index
    finally:
        await client.close()
