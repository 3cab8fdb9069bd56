"""The embedded index: one small shard that is written to, and indexed ones that grow from it.

New passages go to the last shard, which is looked at as a whole. When it holds some thousand, it is closed to
writing and indexed by a builder, together with indexed ones that are not much larger, so that their number
grows with the logarithm of the passages. Meanwhile everything is searched where it is.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from parley_rag.backends.edge_build import Build
from parley_rag.backends.edge_manifest import Manifest, drop_former, lock, opened_manifest
from parley_rag.backends.edge_room import DiskFull, require_room, require_room_to_build
from parley_rag.backends.edge_shard import ScopeTuple, Scores, Shard, StoredPassage, inside
from parley_rag.vectors import floats
from parley_rag.words import Terms

_log = logging.getLogger("parley.rag")
_MERGE = 2.0  # an indexed shard is indexed anew with what is at least half its size
_WORN = 0.7  # of its passages are left: then a shard is indexed anew
_RETRY_S = 60.0  # after a build that failed; twice as long after the next one, up to an hour
_LONGEST_RETRY = 6  # as a power of two

State = dict[str, int]


@dataclass(frozen=True, slots=True)
class Growth:
    """When passages are indexed, and how many become one shard at most.

    What is not indexed makes a search longer, as does each shard; a large one takes its builder much memory.
    """

    written: int = 5_000  # so many passages are indexed at once
    idle: int = 1_000  # so many are, when nothing else happens
    largest: int = 250_000


@dataclass(slots=True, eq=False)
class _Held:
    """A shard of the index; `indexed` is how many passages it had when it was built, 0 before."""

    shard: Shard
    indexed: int = 0
    is_changed: bool = True  # also when it is opened: a process that was killed had flushed nothing


class EdgeStore:
    """The shards at a path. The operations that the service may ask for are named in `edge_process.py`."""

    def __init__(self, path: Path, dimensions: int, growth: Growth) -> None:
        self._lock = lock(path)
        self._path, self._dimensions, self._growth = path, dimensions, growth
        manifest = opened_manifest(path, dimensions)
        self._next, self._is_new = manifest.next, manifest.is_new
        self._held = [_Held(self._opened(name), indexed) for name, indexed in manifest.shards]
        self._build: Build | None = None
        self._retired: list[Shard] = []
        self._retry_at_s = 0.0
        self._failures = 0  # of builds, one after the other
        self._may_build = True
        self._drop_unlisted()
        if not self._is_new:  # noted by a run that was killed before it deleted it
            drop_former(path)

    def _opened(self, name: str) -> Shard:
        try:
            return Shard.load(self._path / name)
        except Exception as error:
            raise RuntimeError(
                f"Shard {name} of the vector index cannot be opened. If it stays so, delete {self._path}: "
                "everything is then indexed again from the stored passages."
            ) from error

    @property
    def _written(self) -> _Held:
        return self._held[-1]

    def put(self, passages: list[StoredPassage]) -> None:
        require_room(self._path)
        if self._written.shard.points() >= self._growth.largest:
            self._begin_shard(self._create())  # written faster than indexed
        self._written.shard.put(passages)
        self._written.is_changed = self._may_build = True
        ids = [id_ for id_, *_ in passages]
        for held in self._held[:-1]:
            if there := held.shard.those_there(ids):
                held.shard.remove(there)
                held.is_changed = True
                if self._build and held.shard in self._build.sources:
                    self._build.note_removed(there)

    def search(
        self, terms: Terms, vector: bytes | None, scope: ScopeTuple, limit: int
    ) -> list[tuple[str, float | None, float]]:
        numbers = floats(vector) if vector else None
        near: Scores = {}
        worded: Scores = {}
        place: dict[str, Shard] = {}
        within = inside(scope)
        for held in reversed(self._held):  # the newest of a passage counts, if a crash has left two
            shard = held.shard
            if numbers:
                near |= _noted(shard.near(numbers, within, limit), shard, place)
            if terms[0]:
                worded |= _noted(shard.worded(terms, within, limit), shard, place)
        near, worded = _best(near, limit), _best(worded, limit)
        # What only one of both found is scored by the other as well.
        if numbers:
            for shard, ids in _by_shard((id_ for id_ in worded if id_ not in near), place):
                near |= shard.near_of(numbers, ids)
        if terms[0]:
            for shard, ids in _by_shard((id_ for id_ in near if id_ not in worded), place):
                worded |= shard.worded_of(terms, ids)
        return [(id_, near.get(id_), worded.get(id_, 0.0)) for id_ in near | worded]

    def vectors(self, ids: list[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for held in self._held:
            found |= held.shard.vectors_of(ids)
        return found

    def remove(self, owner_id: str, document_id: str) -> None:
        for held in self._held:
            if held.shard.count(owner_id, document_id):
                held.shard.remove_document(owner_id, document_id)
                held.is_changed = self._may_build = True
        if self._build:
            self._build.note_removed_document(owner_id, document_id)

    def count(self, owner_id: str, document_id: str) -> int:
        return sum(held.shard.count(owner_id, document_id) for held in self._held)

    def page(self, start: str | None, limit: int) -> tuple[list[StoredPassage], str | None]:
        found: dict[str, StoredPassage] = {}
        ends: list[str] = []
        for held in self._held:
            passages, following = held.shard.page(start, limit)
            found |= {passage[0]: passage for passage in passages}
            ends += [following] if following else []
        # Beyond where a shard was cut off, passages of it may be missing between those of others.
        ids = sorted(id_ for id_ in found if not ends or id_ < min(ends))
        following = [*ids[limit:], *ends, *(id_ for id_ in found if ends and id_ >= min(ends))]
        return [found[id_] for id_ in ids[:limit]], min(following, default=None)

    def flush(self) -> None:
        for held in self._held:
            if held.is_changed:
                held.shard.flush()
                held.is_changed = False

    def check(self) -> None:
        self._written.shard.points()

    def is_new(self) -> bool:
        return self._is_new

    def settle(self) -> None:
        self._is_new = False
        self._write_manifest(self._held)
        drop_former(self._path)

    def state(self) -> State:
        points = [held.shard.points() for held in self._held]
        return {
            "passages": sum(points),
            "not_indexed": sum(n for n, held in zip(points, self._held, strict=True) if not held.indexed),
            "shards": len(self._held),
            "builds": int(self._build is not None),
        }

    def close(self) -> None:
        if self._build:
            self._build.stop()
        self.flush()
        for shard in [*(held.shard for held in self._held), *self._retired]:
            shard.close()
        self._drop_unlisted()
        self._lock.close()

    # Indexing: called when no request waits, and between requests when some always do.

    @property
    def build(self) -> Build | None:
        """The build that is going on."""
        return self._build

    def begin_build(self, *, is_idle: bool) -> None:
        """Begin to index what should be, if there is something."""
        if self._build:
            self._go_on(self._build, self._build.require_life)
        if self._build or time.monotonic() < self._retry_at_s or not (self._may_build or is_idle):
            return
        self._may_build = False
        if chosen := self._choose(is_idle=is_idle):
            empty = self._new_folder() if self._written in chosen else None
            # Oldest first: if a crash has left a passage in two, the newer one goes over the older.
            sources = [held.shard for held in self._held if held in chosen]
            try:
                require_room_to_build(self._path, (shard.folder for shard in sources))
                self._build = Build(sources, self._new_folder(), self._dimensions, empty)
            except (OSError, DiskFull):
                self._postpone()

    def go_on_with_build(self, *, has_said: bool) -> None:
        """Take what the builder has to give, or send it some passages."""
        build = self._build
        assert build
        self._go_on(build, partial(self._hear, build) if has_said else build.send)

    def _go_on(self, build: Build, step: Callable[[], None]) -> None:
        """Take a step of a build, which is given up when that fails."""
        try:
            step()
        except Exception:  # noqa: BLE001  the engine raises bare Exception; searches go on without the build
            self._postpone()
            build.stop()
            self._build = None
            for folder in (build.folder, build.empty):
                if folder and all(held.shard.folder != folder for held in self._held):
                    _drop(folder)

    def _hear(self, build: Build) -> None:
        was_ready, is_built = build.is_ready, build.hear()
        if build.is_ready and not was_ready and build.empty:
            self._begin_shard(Shard.load(build.empty))
        if is_built:
            self._adopt(build)

    @property
    def is_untidy(self) -> bool:
        """Whether shards are left over that `tidy` has to close."""
        return bool(self._retired)

    def tidy(self) -> None:
        """Close a shard that an indexed one has taken the place of; one at a time, as it takes a while."""
        shard = self._retired.pop()
        shard.close()
        _drop(shard.folder)

    def _choose(self, *, is_idle: bool) -> list[_Held]:
        """Return what should be indexed together: something to begin with, and what is not much larger."""
        wanted = self._growth.idle if is_idle else self._growth.written
        older = self._held[:-1]
        first = next((held for held in older if not held.indexed), None)
        if first is None and self._written.shard.points() >= wanted:
            first = self._written
        if first is None and is_idle:
            first = next((held for held in older if held.shard.points() < _WORN * held.indexed), None)
        if first is None:
            return []
        chosen, total = [first], first.shard.points()
        largest = self._growth.largest >> self._failures  # a smaller build may come to an end
        for points, _, held in sorted(
            (held.shard.points(), at, held) for at, held in enumerate(older) if held is not first
        ):
            if points <= _MERGE * total and total + points <= largest:
                chosen.append(held)
                total += points
        return chosen

    def _adopt(self, build: Build) -> None:
        shard = build.result()
        points = shard.points()
        kept = [held for held in self._held if held.shard not in build.sources]
        self._hold([_Held(shard, points), *kept] if points else kept)
        self._retired += build.sources if points else [*build.sources, shard]
        self._build, self._may_build, self._failures = None, True, 0

    def _postpone(self) -> None:
        """Try again later to index, each time later."""
        _log.warning("vectors not indexed; it is tried again", exc_info=True)
        wait_s = _RETRY_S * 2 ** min(self._failures, _LONGEST_RETRY)
        self._failures += 1
        self._may_build, self._retry_at_s = True, time.monotonic() + wait_s

    def _begin_shard(self, shard: Shard) -> None:
        self._hold([*self._held, _Held(shard)])

    def _hold(self, held: list[_Held]) -> None:
        """Make these the index, once the list of them is written."""
        self._write_manifest(held)
        self._held = held

    def _create(self) -> Shard:
        return Shard.create(self._new_folder(), self._dimensions)

    def _new_folder(self) -> Path:
        self._next += 1
        return self._path / str(self._next)

    def _write_manifest(self, of: list[_Held]) -> None:
        shards = [(held.shard.folder.name, held.indexed) for held in of]
        Manifest(self._dimensions, shards, self._next, is_new=self._is_new).write(self._path)

    def _drop_unlisted(self) -> None:
        """Delete folders that a build has left, in this run or an earlier one."""
        held = {held.shard.folder for held in self._held}
        for entry in self._path.iterdir():
            if entry.name.isdigit() and entry not in held:
                shutil.rmtree(entry, ignore_errors=True)
                self._next = max(self._next, int(entry.name))


def _drop(folder: Path) -> None:
    """Delete a folder beside the searches; a next start deletes what is left of it."""
    threading.Thread(target=shutil.rmtree, args=(folder,), kwargs={"ignore_errors": True}).start()


def _noted(scores: Scores, shard: Shard, place: dict[str, Shard]) -> Scores:
    """Return the scores of passages that no newer shard has; note where they are."""
    return {id_: score for id_, score in scores.items() if place.setdefault(id_, shard) is shard}


def _best(scores: Scores, limit: int) -> Scores:
    return dict(sorted(scores.items(), key=lambda item: -item[1])[:limit])


def _by_shard(ids: Iterable[str], place: dict[str, Shard]) -> Iterator[tuple[Shard, list[str]]]:
    found: dict[Path, tuple[Shard, list[str]]] = {}
    for id_ in ids:
        found.setdefault(place[id_].folder, (place[id_], []))[1].append(id_)
    yield from found.values()
