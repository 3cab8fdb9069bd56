"""One shard of the vector engine: how it is made, written, searched and indexed.

The engine never releases the GIL and gives a shard one opener; several make an index (`edge_store.py`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as qdrant

from parley_rag.vectors import floats, packed
from parley_rag.words import Terms

KEYS = ("owner_id", "collection", "document_id", "content_type")
DATE = "dated_ms"
# Looked at for every vector on the walk: from a mapped file that takes longer than the vectors themselves.
_LOOKED_AT = {"owner_id", "collection", "content_type"}
_DENSE, _WORDS = "meaning", "words"

# The graph: from 16 links a point, chosen among 100, on, recall@10 of 384 dimensions gains little from more.
_LINKS, _LINK_CANDIDATES = 16, 100
# A filter that leaves less than this (6,500 vectors) is answered by comparing all that it leaves.
_FULL_SCAN_KB = 10_000
# One byte a dimension for the walk through the graph; the outermost 1% of values is cut to spread the rest.
_QUANTILE = 0.99
# The best of the walk, half as many again as asked for, are scored anew by the full vectors: without that
# one byte a dimension costs a tenth of the recall.
_OVERSAMPLING = 1.5
_EF = 64  # points kept on the walk: 128 adds no recall@10 worth its 0.3 ms, as each shard is walked by itself

StoredPassage = tuple[str, str, str, str, str, int, bytes, Terms]
Names = tuple[str, ...]
ScopeTuple = tuple[str, Names | None, Names | None, Names, Names | None, int | None, int | None]
Scores = dict[str, float]

_WALK = qdrant.SearchParams(
    hnsw_ef=_EF, quantization=qdrant.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)
)
_EXACT = qdrant.SearchParams(exact=True)


def _config(dimensions: int) -> qdrant.EdgeConfig:
    """Return what all shards are made by.

    In memory are the vectors of one byte a dimension and what most filters look at; graph, words and the
    other payload indexes are mapped files that the system keeps as long as it has room; full vectors and
    payloads are read from disk.
    """
    memory = qdrant.Memory
    vectors = qdrant.EdgeVectorParams(
        size=dimensions,
        distance=qdrant.Distance.Cosine,
        memory=memory.Cold,
        quantization_config=qdrant.ScalarQuantizationConfig(
            type=qdrant.ScalarType.Int8, quantile=_QUANTILE, memory=memory.Pinned
        ),
        hnsw_config=qdrant.HnswIndexConfig(_LINKS, _LINK_CANDIDATES, _FULL_SCAN_KB, memory=memory.Cached),
    )
    return qdrant.EdgeConfig(
        vectors={_DENSE: vectors},
        sparse_vectors={_WORDS: qdrant.EdgeSparseVectorParams(memory=memory.Cached)},
        max_search_threads=1,  # one search at a time: more threads would only be handed it
        payload_memory=memory.Cold,
        wal_enabled=True,
        # Only a builder optimises, and it wants all that it was given in one indexed segment.
        optimizers=qdrant.EdgeOptimizersConfig(
            default_segment_number=1, indexing_threshold=1, max_segment_size=1 << 40
        ),
    )


class Shard:
    """An open shard; it is searched by walking its graph when it was indexed, else by looking at all."""

    def __init__(self, engine: qdrant.EdgeShard, folder: Path) -> None:
        self._engine = engine
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, dimensions: int) -> "Shard":
        """Make an empty shard with its payload indexes."""
        folder.mkdir(parents=True)
        engine = qdrant.EdgeShard.create(str(folder), _config(dimensions))
        pinned, cached = qdrant.Memory.Pinned, qdrant.Memory.Cached
        for key in KEYS:
            names = qdrant.KeywordIndexParams(memory=pinned if key in _LOOKED_AT else cached)
            engine.update(qdrant.UpdateOperation.create_field_index(key, names))
        dates = qdrant.IntegerIndexParams(memory=cached)
        engine.update(qdrant.UpdateOperation.create_field_index(DATE, dates))
        return cls(engine, folder)

    @classmethod
    def load(cls, folder: Path) -> "Shard":
        """Open a shard that exists."""
        return cls(qdrant.EdgeShard.load(str(folder)), folder)

    def points(self) -> int:
        """Return how many passages it holds."""
        return self._engine.info().points_count

    def put(self, passages: Sequence[StoredPassage]) -> None:
        """Store passages, over those of the same ids."""
        points = [
            qdrant.Point(
                id_,
                {_DENSE: floats(vector), _WORDS: qdrant.SparseVector(*terms)},
                dict(zip((*KEYS, DATE), kept, strict=True)),
            )
            for id_, *kept, vector, terms in passages
        ]
        self._engine.update(qdrant.UpdateOperation.upsert_points(points))

    def near(self, vector: list[float], inside: qdrant.Filter, limit: int) -> Scores:
        """Return the passages that are nearest to a vector."""
        return self._query(qdrant.Query.Nearest(vector, using=_DENSE), inside, limit, _WALK)

    def worded(self, terms: Terms, inside: qdrant.Filter, limit: int) -> Scores:
        """Return the passages whose words weigh most."""
        query = qdrant.Query.Nearest(qdrant.SparseVector(*terms), using=_WORDS)
        return self._query(query, inside, limit, None)

    def near_of(self, vector: list[float], ids: Sequence[str]) -> Scores:
        """Return how near passages are to a vector."""
        return self._query(qdrant.Query.Nearest(vector, using=_DENSE), _among(ids), len(ids), _EXACT)

    def worded_of(self, terms: Terms, ids: Sequence[str]) -> Scores:
        """Return what the words of passages weigh."""
        return self.worded(terms, _among(ids), len(ids))

    def _query(
        self, query: Any, inside: qdrant.Filter, limit: int, params: qdrant.SearchParams | None
    ) -> Scores:
        request = qdrant.QueryRequest(limit=limit, query=query, filter=inside, params=params)
        return {str(point.id): point.score for point in self._engine.query(request)}

    def those_there(self, ids: Iterable[str]) -> list[str]:
        """Return which passages it holds."""
        found = self._engine.retrieve(list(ids), with_payload=False, with_vector=False)
        return [str(record.id) for record in found]

    def vectors_of(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the vectors of those of these passages that it holds."""
        found: list[Any] = self._engine.retrieve(list(ids), with_payload=False, with_vector=[_DENSE])
        return {str(record.id): packed(record.vector[_DENSE]) for record in found}

    def remove(self, ids: Iterable[str]) -> None:
        """Remove passages; none is fine."""
        self._engine.update(qdrant.UpdateOperation.delete_points(list(ids)))

    def remove_document(self, owner_id: str, document_id: str) -> None:
        """Remove the passages of a document; none is fine."""
        inside = _document(owner_id, document_id)
        self._engine.update(qdrant.UpdateOperation.delete_points_by_filter(inside))

    def count(self, owner_id: str, document_id: str) -> int:
        """Return how many passages of a document it holds."""
        return self._engine.count(qdrant.CountRequest(filter=_document(owner_id, document_id)))

    def page(self, start: str | None, limit: int) -> tuple[list[StoredPassage], str | None]:
        """Return passages in the order of their ids, from one on, and the id after them."""
        request = qdrant.ScrollRequest(offset=start, limit=limit, with_payload=True, with_vector=True)
        records, following = self._engine.scroll(request)
        return [_passage(record) for record in records], None if following is None else str(following)

    def index(self) -> None:
        """Build the graph and the small vectors: minutes of both cores for some hundred thousand passages."""
        self._engine.optimize()

    def flush(self) -> None:
        """Write everything to disk."""
        self._engine.flush()

    def close(self) -> None:
        """Give the shard free to be opened again."""
        self._engine.close()


def _passage(record: Any) -> StoredPassage:
    payload, words = record.payload, record.vector[_WORDS]
    kept = (payload[key] for key in (*KEYS, DATE))
    return (
        *(str(record.id), *kept, packed(record.vector[_DENSE])),
        (list(words.indices), list(words.values)),
    )


def inside(scope: ScopeTuple) -> qdrant.Filter:
    """Return the filter that lets through what is in scope."""
    owner_id, collections, document_ids, hidden, content_types, from_ms, before_ms = scope
    must: list[Any] = [_is("owner_id", (owner_id,))]
    if collections is not None:
        must.append(_is("collection", collections))
    if document_ids is not None:
        must.append(_is("document_id", document_ids))
    if content_types is not None:
        must.append(_is("content_type", content_types))
    if from_ms is not None or before_ms is not None:
        must.append(qdrant.FieldCondition(DATE, range=qdrant.RangeFloat(gte=from_ms, lt=before_ms)))
    return qdrant.Filter(must=must, must_not=[_is("document_id", hidden)] if hidden else None)


def _is(key: str, values: tuple[str, ...]) -> qdrant.FieldCondition:
    return qdrant.FieldCondition(key, match=qdrant.MatchAny(list(values)))


def _among(ids: Sequence[str]) -> qdrant.Filter:
    return qdrant.Filter(must=[qdrant.HasIdCondition(set(ids))])


def _document(owner_id: str, document_id: str) -> qdrant.Filter:
    return qdrant.Filter(must=[_is("owner_id", (owner_id,)), _is("document_id", (document_id,))])
