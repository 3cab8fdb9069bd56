"""`python -m benchmarks.vectors [--quick]`: the embedded index at 1,000,000 passages, through its pipe.

With `--end-to-end` a whole stack instead: 100,000 passages of real texts are uploaded, embedded and searched.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop
from parley_rag.backends.edge import EdgeIndex, open_edge
from parley_rag.vectors import Scope

from benchmarks.figures import spread
from benchmarks.process_memory import MemoryWatch
from benchmarks.retrieval_stack import keep
from benchmarks.table import print_table, tell
from benchmarks.vector_load import DIMENSIONS, OWNER, Query, VectorLoad
from benchmarks.vectors_end_to_end import measure_end_to_end

LEGEND = """\
build: written = all puts were answered; indexed = nothing is left to be indexed; disk: the folder then.
searches while it is built: one every 50 ms, 10 by meaning; the longest is the longest hold of the process.
memory, MB, when RSS was highest: process = the one that searches, builder = the one that indexes.
  anonymous is what it needs for itself; mapped files are the system's to keep or drop; PSS shares out pages.
searches: EdgeIndex.search, a question and its answer over the pipe; 16 in parallel wait for each other.
  meaning = nearest by vector; 1% = the same within one collection of a hundred; hybrid = vector and eight
  words, each candidate with both scores. 50 = as many candidates as the service asks for at least.
recall@10: share of the ten nearest by exact comparison that are among the found.
Target: p99 <= 5 ms at recall@10 >= 0.95, meaning, 10, one at a time."""
_BATCH = 1_000
_PROBE_EVERY_S = 0.05
_WARM_UP = 100
_INDEXED_S = 3 * 3600.0
_NO_WORDS: tuple[list[int], list[float]] = ([], [])

Search = Callable[[Query], Awaitable[set[str]]]


class _Bench:
    """Builds an index of a load and searches it."""

    def __init__(self, index: EdgeIndex, load: VectorLoad, watch: MemoryWatch) -> None:
        self._index, self._load, self._watch = index, load, watch

    async def build(self, queries: Sequence[Query]) -> tuple[dict[str, Any], dict[str, float | None]]:
        """Write and index everything while searches go on; return what it took, and what they took."""
        began_s = time.monotonic()
        built = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            probing = tasks.create_task(self._probe(queries, built))
            for number, passages in enumerate(self._load.passages(_BATCH), start=1):
                await self._index.put(passages)
                if number % 50 == 0:
                    tell(f"{number * _BATCH} passages written: {await self._index.state()}")
            written_s = time.monotonic() - began_s
            await self._indexed()
            indexed_s = time.monotonic() - began_s
            built.set()
        await self._index.flush()
        state = await self._index.state()
        row = {
            "passages": state["passages"],
            "written s": round(written_s, 1),
            "indexed s": round(indexed_s, 1),
            "shards": state["shards"],
            "not indexed": state["not_indexed"],
            "disk MB": self._watch.disk_mb(),
            "disk MB, highest": self._watch.highest_disk_mb,
        }
        return row, spread(probing.result())

    async def _indexed(self) -> None:
        """Wait until nothing is being indexed, and nothing begins to be in a quiet moment."""
        async with asyncio.timeout(_INDEXED_S):
            quiet = 0
            while quiet < 2:
                await asyncio.sleep(3.0)
                state = await self._index.state()
                is_quiet = not state["builds"] and state["not_indexed"] < 1_000
                quiet = quiet + 1 if is_quiet else 0
                tell(f"indexing: {state}")

    async def _probe(self, queries: Sequence[Query], built: asyncio.Event) -> list[float]:
        took_ms: list[float] = []
        number = 0
        while not built.is_set():
            began_s = time.perf_counter()
            await self._near(queries[number % len(queries)], 10)
            took_ms.append((time.perf_counter() - began_s) * 1e3)
            number += 1
            await asyncio.sleep(_PROBE_EVERY_S)
        return took_ms

    async def _near(self, query: Query, limit: int, collections: tuple[str, ...] | None = None) -> set[str]:
        scope = Scope(OWNER, collections=collections)
        found = await self._index.search(_NO_WORDS, query.vector, scope, limit)
        return {candidate.id for candidate in found}

    async def _hybrid(self, query: Query, limit: int) -> set[str]:
        found = await self._index.search(query.terms, query.vector, Scope(OWNER), limit)
        return {candidate.id for candidate in found}

    async def searches(self, queries: Sequence[Query]) -> list[dict[str, Any]]:
        """Measure each kind of search, one at a time and 16 in parallel."""
        kinds: dict[str, tuple[Search, str | None]] = {
            "meaning, 10": (lambda query: self._near(query, 10), "nearest"),
            "meaning, 10, 1%": (lambda query: self._near(query, 10, (query.collection,)), "nearest_inside"),
            "meaning, 50": (lambda query: self._near(query, 50), None),
            "hybrid, 10": (lambda query: self._hybrid(query, 10), None),
            "hybrid, 50": (lambda query: self._hybrid(query, 50), None),
        }
        rows: list[dict[str, Any]] = []
        for kind, (search, truth) in kinds.items():
            for at_once in (1, 16):
                tell(f"searching: {kind}, {at_once} in parallel")
                rows.append(await _measured(kind, search, truth, queries, at_once))
        return rows


async def _measured(
    kind: str, search: Search, truth: str | None, queries: Sequence[Query], at_once: int
) -> dict[str, Any]:
    waiting = iter([*queries[:_WARM_UP], *queries])
    took_ms: list[float] = []
    right: list[float] = []

    async def ask() -> None:
        for query in waiting:
            began_s = time.perf_counter()
            found = await search(query)
            took_ms.append((time.perf_counter() - began_s) * 1e3)
            if truth:
                wanted: frozenset[str] = getattr(query, truth)
                right.append(len(wanted & found) / len(wanted))

    began_s = time.monotonic()
    await asyncio.gather(*(ask() for _ in range(at_once)))
    took_s = time.monotonic() - began_s
    times = spread(took_ms[min(_WARM_UP, len(queries)) :])
    return {
        "search": kind,
        "in parallel": at_once,
        "p50 ms": times["p50"],
        "p99 ms": times["p99"],
        "longest ms": times["max"],
        "a second": round(len(took_ms) / took_s),
        "recall@10": f"{sum(right) / len(right):.4f}" if right else "-",
    }


async def measure(passages: int, searches: int) -> dict[str, Any]:
    """Build an index of made-up passages and search it."""
    tell(f"making {passages} passages and {searches} searches with their exact answers")
    load = VectorLoad(passages)
    queries = load.queries(searches, 10)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        path = Path(folder, "vectors")
        async with open_edge(path, DIMENSIONS, idle_s=2.0) as index:
            with MemoryWatch(path) as watch:
                bench = _Bench(index, load, watch)
                build, while_built = await bench.build(queries)
                rows = await bench.searches(queries)
            memory = watch.rows()
    print_table("build", [build])
    print_table("searches while it is built, ms", [while_built])
    print_table("memory, MB", memory)
    print_table("searches", rows)
    print(LEGEND)
    return {"build": build, "while_built_ms": while_built, "memory_mb": memory, "searches": rows}


def main() -> None:
    """Measure, print tables and keep them as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.vectors", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50,000 passages; 2,000 with --end-to-end")
    parser.add_argument("--passages", type=int, help="another number of passages")
    parser.add_argument("--searches", type=int, default=1_000, help="how many different searches")
    parser.add_argument("--end-to-end", action="store_true", help="real texts through a running stack")
    parser.add_argument("--data", type=Path, help="folder of the Cranfield files, for --end-to-end")
    arguments = parser.parse_args()
    is_whole: bool = arguments.end_to_end
    full, quick = (100_000, 2_000) if is_whole else (1_000_000, 50_000)
    passages: int = arguments.passages or (quick if arguments.quick else full)
    if is_whole:
        measuring = measure_end_to_end(passages, arguments.searches, arguments.data)
    else:
        measuring = measure(passages, arguments.searches)
    name = "vectors-end-to-end" if is_whole else "vectors"
    print(f"kept in {keep(name, uvloop.run(measuring))}")


if __name__ == "__main__":
    main()
