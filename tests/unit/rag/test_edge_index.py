"""The embedded index: its process dies, hangs and indexes; an index of another format is set aside."""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_rag.backends.edge import EdgeIndex, Patience, open_edge
from parley_rag.backends.edge_store import Growth
from parley_rag.vectors import IndexedPassage, Scope, VectorIndex

from tests.fakes.embedding import DIMENSIONS
from tests.integration.waiting import eventually
from tests.unit.rag.processes import child_running, children_of
from tests.unit.rag.test_vector_indexes import DOCUMENT, many, passages, terms, vector

SOON = Growth(written=200, idle=50, largest=2_000)


async def test_what_was_put_outlives_a_kill_of_the_child_running(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.put(passages())
        os.kill(child_running(tmp_path), signal.SIGKILL)
        assert await index.count("ada", DOCUMENT) == 3
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        assert await index.count("ada", DOCUMENT) == 3


async def test_an_answer_nobody_waits_for_any_more_is_not_given_to_the_next(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.put(passages())
        for _ in range(20):
            asking = asyncio.ensure_future(index.search(terms("water"), vector("water"), Scope("ada"), 5))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asking.cancel()
            assert await index.count("ada", DOCUMENT) == 3


async def test_a_long_answer_that_nobody_reads_does_not_hold_up_a_long_request(tmp_path: Path) -> None:
    put = many(2_000)
    async with asyncio.timeout(30), open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.put(put)
        paging = asyncio.ensure_future(index.page(None, 2_000))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        paging.cancel()
        await index.put(put)
        assert await index.total() == 2_000


async def test_a_check_starts_a_dead_index_process_anew(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        dead = child_running(tmp_path)
        os.kill(dead, signal.SIGKILL)
        await index.check()
        assert child_running(tmp_path) != dead
        assert await index.count("ada", DOCUMENT) == 0


@asynccontextmanager
async def hung_index(path: Path, patience: Patience) -> AsyncGenerator[VectorIndex, None]:
    """Yield an index of three passages whose process does not go on."""
    async with open_edge(path / "vectors", DIMENSIONS, patience) as index:
        await index.put(passages())
        os.kill(child_running(path), signal.SIGSTOP)
        yield index


async def test_an_index_process_that_hangs_is_ended_and_the_next_one_answers(tmp_path: Path) -> None:
    async with asyncio.timeout(30), hung_index(tmp_path, Patience(read_s=0.2)) as index:
        with pytest.raises(ParleyError, match="does not answer") as caught:
            await index.search(terms("water"), None, Scope("ada"), 5)
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert await index.count("ada", DOCUMENT) == 3


async def test_a_hung_index_process_is_ended_though_every_asker_gives_up_sooner(tmp_path: Path) -> None:
    async with asyncio.timeout(30), hung_index(tmp_path, Patience(read_s=2.0)) as index:

        async def ask_for_a_moment() -> int:
            try:
                async with asyncio.timeout(1.2):
                    return await index.count("ada", DOCUMENT)
            except (TimeoutError, ParleyError):
                return 0

        hung = child_running(tmp_path)
        while await ask_for_a_moment() == 0:
            pass
        assert child_running(tmp_path) != hung


async def test_a_check_finds_a_hung_child_running(tmp_path: Path) -> None:
    async with asyncio.timeout(30), hung_index(tmp_path, Patience(read_s=0.2)) as index:
        with pytest.raises(ParleyError, match="does not answer"):
            await index.check()
        await index.check()


async def test_an_index_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ParleyError, match="cannot be started"):
        async with open_edge(tmp_path / "file" / "vectors", DIMENSIONS):
            pass


async def indexed(index: EdgeIndex, at_most: int = 0) -> None:
    """Wait until a build has ended and no more than so many passages are not indexed."""

    async def is_indexed() -> bool:
        state = await index.state()
        return not state["builds"] and state["not_indexed"] <= at_most

    await eventually(is_indexed, within_s=60)


async def has_ended(pid: int) -> bool:
    """Return whether a process is gone, but for its entry in the table."""
    return not await asyncio.to_thread(is_running, pid)


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def ids_of(index: VectorIndex) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await index.page(cursor, 300)
        found += [passage.id for passage in page]
        if cursor is None:
            return found


async def finds(index: VectorIndex, wanted: list[IndexedPassage]) -> None:
    for passage in wanted:
        found = await index.search(([], []), passage.vector, Scope(passage.owner_id), 10)
        assert max(candidate.cosine or 0 for candidate in found) == pytest.approx(1.0, abs=1e-3)


async def test_what_is_written_is_indexed_meanwhile_it_is_searched_and_changed(tmp_path: Path) -> None:
    put = many(1_000)
    async with open_edge(tmp_path / "vectors", DIMENSIONS, growth=SOON) as index:
        for at in range(0, 1_000, 100):
            await index.put(put[at : at + 100])
            await finds(index, put[at : at + 3])
        assert (await index.state())["builds"] == 1
        await index.remove_document("ada", "d4")  # while it is being indexed
        again = [passage for passage in put if passage.document_id == "d5"][:10]
        await index.put(again)
        await indexed(index, SOON.written)
        gone = {p.id for p in put if (p.owner_id, p.document_id) == ("ada", "d4")}
        assert gone
        assert await ids_of(index) == sorted(p.id for p in put if p.id not in gone)
        assert await index.count("ada", "d4") == 0
        assert await index.count("bob", "d5") == sum(p.document_id == "d5" for p in put)
        await finds(index, put[::97])
        shards = (await index.state())["shards"]
    async with open_edge(tmp_path / "vectors", DIMENSIONS, growth=SOON) as index:
        assert (await index.state())["shards"] == shards
        assert await index.total() == 1_000 - len(gone)
        await finds(index, put[::97])


async def test_what_is_put_again_while_a_builder_starts_is_not_taken_for_what_it_replaces(
    tmp_path: Path,
) -> None:
    put = many(600)
    async with open_edge(tmp_path / "vectors", DIMENSIONS, growth=SOON) as index:
        await index.put(put[:300])
        await indexed(index)
        await index.put(put[300:])  # from here on a builder is to index all of it
        assert (await index.state())["builds"] == 1
        await index.remove_document("bob", "d7")
        newer = [replace(passage, collection="newer") for passage in put[:50]]
        await index.put(newer)
        await indexed(index, SOON.written)
        gone = {p.id for p in put[50:] if p.document_id == "d7"}
        assert await ids_of(index) == sorted({p.id for p in put} - gone)
        page, _ = await index.page(None, 600)
        assert {p.id for p in page if p.collection == "newer"} == {p.id for p in newer}


async def test_a_few_passages_are_indexed_when_nothing_else_happens(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS, idle_s=0.2, growth=SOON) as index:
        await index.put(many(60))

        async def is_indexed() -> bool:
            for _ in range(25):
                await asyncio.sleep(0.02)
                await index.check()  # which does not count as something that happens
            return not (await index.state())["not_indexed"]

        await eventually(is_indexed)


async def test_a_worn_shard_is_indexed_anew_and_an_empty_one_goes(tmp_path: Path) -> None:
    put = many(400)
    async with open_edge(tmp_path / "vectors", DIMENSIONS, idle_s=0.2, growth=SOON) as index:
        await index.put(put)
        await indexed(index)
        for owner in ("ada", "bob"):
            for n in range(20):
                await index.remove_document(owner, f"d{n}")
        assert await index.total() == 0

        async def is_empty() -> bool:
            await asyncio.sleep(0.5)  # nothing happens: then it is indexed anew
            return (await index.state())["shards"] == 1

        await eventually(is_empty)
        await index.put(put[:5])
        await finds(index, put[:5])


@pytest.mark.parametrize("victim", ["builder", "index process"])
async def test_a_kill_in_the_middle_of_indexing_loses_nothing(tmp_path: Path, victim: str) -> None:
    put = many(900)
    async with open_edge(tmp_path / "vectors", DIMENSIONS, growth=SOON) as index:
        await index.put(put[:800])
        process = child_running(tmp_path)

        async def is_building() -> bool:
            return bool(children_of(process))

        await eventually(is_building)
        (builder,) = children_of(process)
        os.kill(process if victim == "index process" else builder, signal.SIGKILL)
        await index.put(put[800:])
        assert await ids_of(index) == sorted(p.id for p in put)
        await finds(index, put[::97])
    await eventually(partial(has_ended, builder))
    async with open_edge(tmp_path / "vectors", DIMENSIONS, growth=SOON) as index:
        assert await ids_of(index) == sorted(p.id for p in put)
        await index.put(put[:1])
        await indexed(index, SOON.written)
        assert await ids_of(index) == sorted(p.id for p in put)
    listed = json.loads((tmp_path / "vectors" / "shards.json").read_text())["shards"]
    folders = {entry.name for entry in (tmp_path / "vectors").iterdir() if entry.is_dir()}
    assert folders == {name for name, _ in listed}


async def test_a_put_that_a_kill_interrupts_is_whole_in_the_end(tmp_path: Path) -> None:
    put = many(3_000)
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        for at in (0, 1_000, 2_000):
            putting = asyncio.ensure_future(index.put(put[at : at + 1_000]))
            for _ in range(at // 500 + 1):  # not always at the same point
                await asyncio.sleep(0)
            os.kill(child_running(tmp_path), signal.SIGKILL)
            await putting
        assert await ids_of(index) == sorted(p.id for p in put)


async def test_a_new_index_says_so_until_somebody_has_noted_it(tmp_path: Path) -> None:
    for _ in range(2):
        async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
            assert index.made_anew
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.put(passages())
        await index.settle()
        assert not index.made_anew
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        assert not index.made_anew
        assert await index.count("ada", DOCUMENT) == 3


async def test_an_index_of_another_format_is_set_aside_and_deleted_once_that_is_noted(tmp_path: Path) -> None:
    older = tmp_path / "vectors"
    (older / "segments").mkdir(parents=True)
    (older / "edge_config.json").write_text("{}")
    async with open_edge(older, DIMENSIONS) as index:
        assert index.made_anew
        assert await index.total() == 0
        assert (tmp_path / "vectors.former" / "edge_config.json").exists()
        await index.settle()
        assert not (tmp_path / "vectors.former").exists()


@pytest.mark.parametrize("written", ["", "null", "[]", "{}", '{"format": 2, "shards": [], "more": 1}'])
async def test_a_list_of_shards_that_cannot_be_read_is_set_aside_with_its_index(
    tmp_path: Path, written: str
) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.put(passages())
        await index.settle()
    (tmp_path / "vectors" / "shards.json").write_text(written)
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        assert index.made_anew
        assert await index.total() == 0
        assert (tmp_path / "vectors.former" / "shards.json").exists()


async def test_a_former_index_that_a_kill_has_left_is_deleted_by_the_next_start(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.settle()
    (tmp_path / "vectors.former").mkdir()
    async with open_edge(tmp_path / "vectors", DIMENSIONS):
        assert not (tmp_path / "vectors.former").exists()


async def test_a_damaged_shard_is_named_with_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.put(passages())
        await index.settle()
    shutil.rmtree(tmp_path / "vectors" / "1")
    with pytest.raises(ParleyError, match="cannot be started"):
        async with open_edge(tmp_path / "vectors", DIMENSIONS):
            pass
    assert f"delete {tmp_path / 'vectors'}" in capfd.readouterr().err


async def test_an_index_of_other_dimensions_is_made_anew(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "vectors", DIMENSIONS) as index:
        await index.put(passages())
        await index.settle()
    async with open_edge(tmp_path / "vectors", 8) as index:
        assert index.made_anew
        assert await index.total() == 0
