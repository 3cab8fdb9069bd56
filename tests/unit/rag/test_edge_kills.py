"""The embedded index against a dictionary: what chance puts, removes and kills."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from parley_contracts.errors import ParleyError
from parley_rag.backends.edge import EdgeIndex, open_edge
from parley_rag.backends.edge_store import Growth
from parley_rag.vectors import IndexedPassage, Scope

from tests.fakes.embedding import DIMENSIONS
from tests.unit.rag.processes import child_running, children_of
from tests.unit.rag.test_vector_indexes import many

GROWTH = Growth(written=120, idle=20, largest=600)
SEED, RUNS, STEPS = 11, 2, 25
Kept = dict[str, IndexedPassage]


async def same(index: EdgeIndex, kept: Kept) -> None:
    """Insist that the index holds what the dictionary does, each passage once, and finds it."""
    found: dict[str, str] = {}
    cursor: str | None = None
    while True:
        page, cursor = await index.page(cursor, 170)
        assert not found.keys() & {p.id for p in page}
        found |= {p.id: p.collection for p in page}
        if cursor is None:
            break
    assert found == {id_: p.collection for id_, p in kept.items()}
    assert await index.total() == len(kept)
    for passage in list(kept.values())[:: max(1, len(kept) // 3)]:
        best = await index.search(([], []), passage.vector, Scope(passage.owner_id), 5)
        assert max(candidate.cosine or 0.0 for candidate in best) > 0.999


async def killing(path: Path, victim: str, after_s: float) -> None:
    await asyncio.sleep(after_s)
    with suppress(ValueError, ProcessLookupError, FileNotFoundError):  # it has just ended
        index_process = child_running(path)
        for pid in [index_process] if victim == "index process" else children_of(index_process):
            os.kill(pid, signal.SIGKILL)


async def carried_out(operation: Callable[[], Awaitable[None]]) -> None:
    """Carry it out, as a job does that is delivered again when the index died under it twice."""
    for _ in range(3):
        with suppress(ParleyError):
            return await operation()
    raise AssertionError("the index does not come back")


async def step(index: EdgeIndex, kept: Kept, chance: random.Random, pool: list[IndexedPassage]) -> None:
    if chance.random() < 0.3:
        owner, document = chance.choice(("ada", "bob")), f"d{chance.randrange(20)}"
        await carried_out(lambda: index.remove_document(owner, document))
        for id_ in [id_ for id_, p in kept.items() if (p.owner_id, p.document_id) == (owner, document)]:
            del kept[id_]
        return
    changed = f"c{chance.random()}"
    put = [
        replace(passage, collection=changed) for passage in chance.sample(pool, chance.choice((1, 40, 150)))
    ]
    if chance.random() < 0.2:
        asking = asyncio.ensure_future(index.put(put))
        await asyncio.sleep(chance.random() * 0.01)
        asking.cancel()
    await carried_out(lambda: index.put(put))
    kept |= {passage.id: passage for passage in put}


async def run(index: EdgeIndex, kept: Kept, chance: random.Random, path: Path) -> None:
    """Take steps, some of them with a kill."""
    pool = many(1_200)
    for _ in range(STEPS):
        victim = chance.choice(("index process", "builder", None, None))
        async with asyncio.TaskGroup() as group:
            if victim:
                group.create_task(killing(path, victim, chance.random() * 0.1))
            group.create_task(step(index, kept, chance, pool))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random())  # builds begin and end meanwhile


async def test_kills_at_any_moment_neither_lose_passages_nor_double_them_nor_bring_them_back(
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    kept: Kept = {}
    for _ in range(RUNS):
        async with open_edge(tmp_path / "vectors", DIMENSIONS, idle_s=0.2, growth=GROWTH) as index:
            await same(index, kept)
            await run(index, kept, chance, tmp_path)
            await carried_out(lambda: same(index, kept))
            if chance.random() < 0.5:
                await killing(tmp_path, "index process", 0.0)
