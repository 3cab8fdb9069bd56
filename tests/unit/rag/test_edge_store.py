"""The embedded index seen from inside its process: full disks, and builders that hang or fail."""

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from parley_rag.backends.edge_room import DiskFull
from parley_rag.backends.edge_shard import Shard, StoredPassage
from parley_rag.backends.edge_store import EdgeStore, Growth

from tests.fakes.embedding import DIMENSIONS
from tests.unit.rag.processes import children_of
from tests.unit.rag.test_vector_indexes import many

EDGE = "parley_rag.backends"
GROWTH = Growth(written=200, idle=50, largest=2_000)
ALL = ("ada", None, None, (), None, None, None)


def stored(count: int, collection: str = "c") -> list[StoredPassage]:
    return [
        (p.id, "ada", collection, p.document_id, p.content_type, p.dated_ms, p.vector, p.terms)
        for p in many(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    opened = EdgeStore(tmp_path / "vectors", DIMENSIONS, GROWTH)
    yield opened
    opened.close()


def go_on(store: EdgeStore) -> None:
    """Go on with the build until it has ended or failed, as the process does that the store is in."""
    until_s = time.monotonic() + 60
    while (build := store.build) and time.monotonic() < until_s:
        writes = [build.writable] if build.writable is not None else []
        readable, writable, _ = select.select([build.readable], writes, [], 1.0)
        if readable or writable:
            store.go_on_with_build(has_said=bool(readable))
    assert store.build is None


def begun(store: EdgeStore) -> int:
    """Begin a build; return the process that builds."""
    others = children_of(os.getpid())
    store.begin_build(is_idle=False)
    assert store.build
    (builder,) = set(children_of(os.getpid())).difference(others)
    return builder


def fill_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    def usage(_path: Path) -> SimpleNamespace:
        return SimpleNamespace(free=free)

    monkeypatch.setattr(f"{EDGE}.edge_room.shutil.disk_usage", usage)


class Clock:
    """A clock that stands still."""

    now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


def test_a_full_disk_refuses_what_is_put_and_goes_on_answering(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(stored(20))
    fill_disk(monkeypatch, 100 << 20)
    with pytest.raises(DiskFull):
        store.put(stored(30))
    assert len(store.search(([], []), stored(1)[0][6], ALL, 50)) == 20
    store.remove("ada", "d0")
    assert store.state()["passages"] == 19


def test_a_build_that_the_disk_has_no_room_for_is_not_begun(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(stored(300))
    fill_disk(monkeypatch, 129 << 20)
    store.put(stored(301))
    store.begin_build(is_idle=False)
    assert store.build is None


def test_a_builder_that_hangs_is_given_up(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(stored(300))
    builder = begun(store)
    os.kill(builder, signal.SIGSTOP)
    store.begin_build(is_idle=False)
    assert store.build  # it may still be at work
    monkeypatch.setattr(f"{EDGE}.edge_build._SILENCE_S", 0.0)
    store.begin_build(is_idle=False)
    assert store.build is None
    assert builder not in children_of(os.getpid())
    assert store.state()["passages"] == 300


def test_builds_that_fail_are_tried_again_each_time_later_and_smaller(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(stored(900))
    store.begin_build(is_idle=False)
    go_on(store)
    store.put(stored(1_500)[900:])
    clock = Clock()
    monkeypatch.setattr(f"{EDGE}.edge_store.time", clock)
    sources: list[int] = []
    for wait_s in (60.0, 120.0, 240.0):
        builder = begun(store)
        assert store.build
        sources.append(len(store.build.sources))
        os.kill(builder, signal.SIGKILL)
        go_on(store)
        clock.now_s += wait_s - 1
        store.begin_build(is_idle=False)
        assert store.build is None
        clock.now_s += 1
    assert sources == [2, 1, 1]
    store.begin_build(is_idle=False)
    go_on(store)
    assert store.state() == {"passages": 1_500, "not_indexed": 0, "shards": 3, "builds": 0}


def test_of_a_passage_that_a_crash_left_in_two_shards_the_newer_is_indexed(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(stored(250, "older"))
    store.begin_build(is_idle=False)
    go_on(store)

    def crash(_shard: Shard, _ids: Sequence[str]) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(Shard, "remove", crash)
        with pytest.raises(InterruptedError):
            store.put(stored(250, "newer"))
    store.begin_build(is_idle=False)
    go_on(store)
    passages, _ = store.page(None, 1_000)
    assert (len(passages), {passage[2] for passage in passages}) == (250, {"newer"})
    assert store.state()["passages"] == 250


def test_what_a_killed_process_had_not_flushed_is_flushed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    flush = Shard.flush

    def note(shard: Shard) -> None:
        flushed.append(shard.folder.name)
        flush(shard)

    EdgeStore(tmp_path / "vectors", DIMENSIONS, GROWTH).close()
    store = EdgeStore(tmp_path / "vectors", DIMENSIONS, GROWTH)
    monkeypatch.setattr(Shard, "flush", note)
    store.flush()
    store.flush()
    assert flushed == ["1"]
    store.close()
