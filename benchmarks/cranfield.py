"""`python -m benchmarks.cranfield`: retrieval quality on Cranfield, through a stack of its own.

All documents are uploaded, then every query is asked of `POST /api/search` in each mode. What the default is
made of was chosen on queries 1-112; 113-225 were not looked at for it.
"""

import argparse
import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import uvloop

from benchmarks.cranfield_data import Cranfield, read_cranfield
from benchmarks.figures import spread
from benchmarks.ranking_quality import difference, mean, ndcg, recall
from benchmarks.retrieval_stack import ingest, keep, open_client, open_retrieval_stack, search
from benchmarks.table import print_table, tell

DATA = Path(__file__).parents[2] / "shared" / "data" / "cranfield"
COLLECTION = "cranfield"
MODES = {"default": "hybrid", "plain RRF, k 60": "rrf", "dense": "meaning", "BM25": "words"}
LEGEND = """\
nDCG@10 and recall@100 of documents, a document being found by its best passage; grades 1 to 4 are relevant.
default: cosine and BM25 as a share of the most possible, half each; then what is like the best moves up.
plain RRF: reciprocal-rank fusion of dense and BM25. dense: cosine alone. BM25: words alone.
1-112: queries that the default was tuned on. 113-225: those that it was not."""
_TUNED = range(1, 113)
_HELD_OUT = range(113, 226)
_QUICK_QUERIES = 12
_QUICK_EVERY = 20
_DEPTH, _SHOWN = 10, 100
_AT_ONCE = 4


def _quick(data: Cranfield) -> Cranfield:
    """Return some queries of both halves with what answers them, and a twentieth of the other documents."""
    chosen = [*_TUNED[: _QUICK_QUERIES // 2], *_HELD_OUT[: _QUICK_QUERIES // 2]]
    wanted = {number for query in chosen for number in data.relevant.get(query, ())}
    return Cranfield(
        {n: text for n, text in data.documents.items() if n in wanted or n % _QUICK_EVERY == 0},
        {query: data.queries[query] for query in chosen},
        data.relevant,
    )


async def _ask_all(
    client: httpx.AsyncClient, data: Cranfield, mode: str
) -> tuple[dict[int, list[int]], list[float]]:
    """Return the numbers of the documents that each query found, best first, and what each took."""
    door = asyncio.Semaphore(_AT_ONCE)
    took_ms: list[float] = []

    async def ask(query: str) -> list[int]:
        async with door:
            began_s = time.monotonic()
            found = await search(
                client, query, collection=COLLECTION, mode=mode, limit=_SHOWN, max_per_document=1
            )
            took_ms.append((time.monotonic() - began_s) * 1000)
        return [int(Path(passage["document"]["name"]).stem) for passage in found]

    async with asyncio.TaskGroup() as tasks:
        asked = {number: tasks.create_task(ask(query)) for number, query in data.queries.items()}
    return {number: task.result() for number, task in asked.items()}, took_ms


def _row(name: str, ndcgs: dict[int, float], recalls: dict[int, float]) -> dict[str, Any]:
    parts = {"1-112": _TUNED, "113-225": _HELD_OUT, "all": range(1, 226)}
    row: dict[str, Any] = {"mode": name}
    for label, scores in ((f"nDCG@{_DEPTH}", ndcgs), (f"recall@{_SHOWN}", recalls)):
        for part, queries in parts.items():
            row[f"{label} {part}"] = f"{mean(_of(scores, queries)):.4f}"
    return row


def _of(scores: dict[int, float], queries: Iterable[int]) -> list[float]:
    return [scores[query] for query in queries if query in scores]


def _comparisons(ndcgs: dict[str, dict[int, float]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in (name for name in ndcgs if name != "default"):
        row: dict[str, Any] = {"default less": name}
        for part, queries in (("113-225", _HELD_OUT), ("all", range(1, 226))):
            less, low, high = difference(_of(ndcgs["default"], queries), _of(ndcgs[name], queries))
            row[f"nDCG@{_DEPTH} {part}"] = f"{less:+.4f} ({low:+.4f} to {high:+.4f})"
        rows.append(row)
    return rows


async def _measure(data: Cranfield) -> dict[str, Any]:
    async with open_retrieval_stack() as stack, open_client(stack) as client:
        tell("the stack runs")
        documents = {f"{number:04}.md": text for number, text in data.documents.items()}
        ingested = await ingest(client, documents, COLLECTION)
        ndcgs: dict[str, dict[int, float]] = {}
        rows: list[dict[str, Any]] = []
        times: list[dict[str, Any]] = []
        for name, mode in MODES.items():
            tell(f"asking {len(data.queries)} queries: {name}")
            found, took_ms = await _ask_all(client, data, mode)
            judged = {query: data.relevant[query] for query in found if data.relevant.get(query)}
            ndcgs[name] = {query: ndcg(found[query], good, _DEPTH) for query, good in judged.items()}
            recalls = {query: recall(found[query], good, _SHOWN) for query, good in judged.items()}
            rows.append(_row(name, ndcgs[name], recalls))
            times.append({"ms a search, 4 at once": name, **spread(took_ms)})
    return {
        "ingested": ingested,
        "rows": rows,
        "times": times,
        "by_query": ndcgs,
        "less": _comparisons(ndcgs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.cranfield", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the collection's files")
    parser.add_argument("--quick", action="store_true", help="few documents and queries: not comparable")
    arguments = parser.parse_args()
    data = read_cranfield(arguments.data)
    if arguments.quick:
        data = _quick(data)
    result = uvloop.run(_measure(data))
    ingested = result["ingested"]
    size = f"{ingested['documents']} documents, {ingested['chunks']} passages, {len(data.queries)} queries"
    print_table(f"cranfield: {size}{' (--quick: not comparable)' if arguments.quick else ''}", result["rows"])
    print(LEGEND)
    print_table("the difference, and where it lies in 95% of resamples of the queries", result["less"])
    print_table("100 documents a search, the query's embedding included", result["times"])
    path = keep("cranfield", {"is_quick": arguments.quick, **result})
    print(f"uploaded and ready in {ingested['ready_s']:g} s; kept in {path}")


if __name__ == "__main__":
    main()
