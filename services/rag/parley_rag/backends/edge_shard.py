"""The process that owns the vector shard: tuples in on stdin, tuples out on stdout, one at a time.

The engine never releases the GIL, has one opener a shard and no background optimiser, so it lives alone here.
It ends when its stdin does.
"""

import fcntl
import marshal
import os
import select
import signal
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import qdrant_edge as qdrant

from parley_rag.backends.edge_shard_protocol import LENGTH, RESTING
from parley_rag.words import Terms

KEYS = ("owner_id", "collection", "document_id", "content_type")
DATE = "dated_ms"
_LOCK_WAIT_S = 30.0
_READ_BYTES = 1 << 20
_DENSE, _WORDS = "meaning", "words"

StoredPassage = tuple[str, str, str, str, str, int, bytes, Terms]
Names = tuple[str, ...]
ScopeTuple = tuple[str, Names | None, Names | None, Names, Names | None, int | None, int | None]


class Shard:
    """The operations that the parent may ask for, by name."""

    def __init__(self, path: Path, dimensions: int) -> None:
        self._shard = _open(path, dimensions)
        self._changed = True  # a crash may have left segments to optimise

    def put(self, passages: list[StoredPassage]) -> None:
        points = [
            qdrant.Point(
                id_,
                {_DENSE: _floats(vector), _WORDS: qdrant.SparseVector(*terms)},
                dict(zip((*KEYS, DATE), kept, strict=True)),
            )
            for id_, *kept, vector, terms in passages
        ]
        self._shard.update(qdrant.UpdateOperation.upsert_points(points))
        self._changed = True

    def search(
        self, terms: Terms, vector: bytes | None, scope: ScopeTuple, limit: int
    ) -> list[tuple[str, float | None, float | None]]:
        inside = _inside(scope)
        near = self._near(vector, inside, limit) if vector else {}
        worded = self._worded(terms, inside, limit) if terms[0] else {}
        if vector:  # score what only the words found, so that every candidate has both scores
            near |= self._near(vector, _among([id_ for id_ in worded if id_ not in near]), limit)
        if terms[0]:
            only_near = [id_ for id_ in near if id_ not in worded]
            worded |= self._worded(terms, _among(only_near), limit)
        return [(id_, near.get(id_), worded.get(id_, 0.0)) for id_ in near | worded]

    def _near(self, vector: bytes, inside: qdrant.Filter | None, limit: int) -> dict[str, float]:
        return self._query(qdrant.Query.Nearest(_floats(vector), using=_DENSE), inside, limit)

    def _worded(self, terms: Terms, inside: qdrant.Filter | None, limit: int) -> dict[str, float]:
        query = qdrant.Query.Nearest(qdrant.SparseVector(*terms), using=_WORDS)
        return self._query(query, inside, limit)

    def _query(self, query: Any, inside: qdrant.Filter | None, limit: int) -> dict[str, float]:
        if inside is None:
            return {}
        found = self._shard.query(qdrant.QueryRequest(limit=limit, query=query, filter=inside))
        return {str(point.id): point.score for point in found}

    def remove(self, owner_id: str, document_id: str) -> None:
        self._shard.update(qdrant.UpdateOperation.delete_points_by_filter(_document(owner_id, document_id)))
        self._changed = True

    def count(self, owner_id: str, document_id: str) -> int:
        return self._shard.count(qdrant.CountRequest(filter=_document(owner_id, document_id)))

    def flush(self) -> None:
        self._shard.flush()

    def check(self) -> None:
        self._shard.info()

    def rest(self) -> None:
        """Optimise and flush after changes; searches wait meanwhile, so it is for idle times."""
        if self._changed:
            _reply((RESTING, True, True))
            self._shard.optimize()
            self._shard.flush()
            self._changed = False
            _reply((RESTING, True, False))

    def close(self) -> None:
        self._shard.flush()
        self._shard.close()


def _open(path: Path, dimensions: int) -> qdrant.EdgeShard:
    if (path / "edge_config.json").exists():
        return qdrant.EdgeShard.load(str(path))
    config = qdrant.EdgeConfig(
        vectors={_DENSE: qdrant.EdgeVectorParams(size=dimensions, distance=qdrant.Distance.Cosine)},
        sparse_vectors={_WORDS: qdrant.EdgeSparseVectorParams()},
        max_search_threads=1,
        wal_enabled=True,
    )
    path.mkdir(parents=True, exist_ok=True)
    shard = qdrant.EdgeShard.create(str(path), config)
    for key in KEYS:
        shard.update(qdrant.UpdateOperation.create_field_index(key, qdrant.PayloadSchemaType.Keyword))
    shard.update(qdrant.UpdateOperation.create_field_index(DATE, qdrant.PayloadSchemaType.Integer))
    return shard


def _floats(vector: bytes) -> list[float]:
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()


def _is(key: str, values: tuple[str, ...]) -> qdrant.FieldCondition:
    return qdrant.FieldCondition(key, match=qdrant.MatchAny(list(values)))


def _inside(scope: ScopeTuple) -> qdrant.Filter:
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


def _among(ids: list[str]) -> qdrant.Filter | None:
    return qdrant.Filter(must=[qdrant.HasIdCondition(set(ids))]) if ids else None


def _document(owner_id: str, document_id: str) -> qdrant.Filter:
    return qdrant.Filter(must=[_is("owner_id", (owner_id,)), _is("document_id", (document_id,))])


def _requests(shard: Shard, idle_s: float) -> Iterator[tuple[Any, ...]]:
    """Yield the parent's requests; rest when none but checks come for a while."""
    buffer = bytearray()
    rest_at_s = time.monotonic() + idle_s
    while True:
        while len(buffer) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(buffer)[0]
            if len(buffer) < end:
                break
            request = marshal.loads(buffer[LENGTH.size : end])
            yield request
            del buffer[:end]
            if request[1] != "check":
                rest_at_s = time.monotonic() + idle_s
        while not select.select([0], [], [], max(0.0, rest_at_s - time.monotonic()))[0]:
            shard.rest()
            rest_at_s = time.monotonic() + idle_s
        data = os.read(0, _READ_BYTES)
        if not data:
            return
        buffer += data


def _reply(reply: tuple[Any, ...]) -> None:
    body = marshal.dumps(reply)
    view = memoryview(LENGTH.pack(len(body)) + body)
    while view:
        view = view[os.write(1, view) :]


def _lock(path: Path) -> int:
    """Hold the shard alone; a parent that died leaves a child that still closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.05)
        else:
            return lock


def main() -> None:
    for name in (signal.SIGINT, signal.SIGTERM):  # the parent decides when to end, by closing the pipe
        signal.signal(name, signal.SIG_IGN)
    path, dimensions, idle_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    _lock(path)
    shard = Shard(path, dimensions)
    operations = {
        operation.__name__: operation
        for operation in (shard.put, shard.search, shard.remove, shard.count, shard.flush, shard.check)
    }
    try:
        for number, operation, *arguments in _requests(shard, idle_s):
            try:
                _reply((number, True, operations[operation](*arguments)))
            except Exception as error:  # noqa: BLE001  the engine raises bare Exception; the parent logs it
                _reply((number, False, f"{type(error).__name__}: {error}"))
    except BrokenPipeError:
        pass
    finally:
        shard.close()


if __name__ == "__main__":
    main()
