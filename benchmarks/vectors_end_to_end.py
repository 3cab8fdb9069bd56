"""Text in, passages out: a stack with very many passages of real texts, searched as clients do."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.cranfield import DATA
from benchmarks.cranfield_data import Cranfield, read_cranfield
from benchmarks.figures import spread
from benchmarks.retrieval_stack import ingest, open_client, open_retrieval_stack, search
from benchmarks.table import print_table, tell

LEGEND = """\
Documents are Cranfield's abstracts, sixty in one, four sentences a section, each time in another order; npu
embeds every passage. Searches are Cranfield's questions, each time without another word, so that no cache
answers. search: POST /api/search until its answer, 8 passages, through gateway, npu (the question) and rag
(vector and words). passages: as many as the documents became."""
_COLLECTION = "variants"
_ABSTRACTS_A_DOCUMENT = 60
_SENTENCES_A_SECTION = 4
_PASSAGES_A_DOCUMENT = 130  # at least
# Both cores for reading in: nothing else is measured meanwhile.
_ENVIRONMENT = {"PARLEY_RAG_INGEST_SLOTS": "2", "PARLEY_NPU_THREADS": "2"}
_WARM_UP = 20


def _documents(data: Cranfield, count: int) -> Iterator[tuple[str, str]]:
    """Yield documents of some abstracts, whose sentences are turned by one place more each time around."""
    texts = list(data.documents.values())
    for number in range(count):
        sections: list[str] = []
        for at in range(number * _ABSTRACTS_A_DOCUMENT, (number + 1) * _ABSTRACTS_A_DOCUMENT):
            turn, chosen = divmod(at, len(texts))
            sentences = re.split(r"(?<=\.)\s+", texts[chosen])
            turn %= len(sentences)
            turned = [*sentences[turn:], *sentences[:turn]]
            for first in range(0, len(turned), _SENTENCES_A_SECTION):
                some = " ".join(turned[first : first + _SENTENCES_A_SECTION])
                sections.append(f"## Section {at}.{first}\n\n{some}")
        yield f"volume-{number}.md", f"# Volume {number}\n\n" + "\n\n".join(sections)


def _queries(data: Cranfield, count: int) -> list[str]:
    """Return questions, no two alike."""
    words = [query.split() for query in data.queries.values()]
    found: dict[str, None] = {}
    for turn in range(max(map(len, words))):
        for one in words:
            found[" ".join(one[:turn] + one[turn + 1 :])] = None
            if len(found) == count:
                return list(found)
    return list(found)


async def _searched(client: httpx.AsyncClient, queries: list[str], at_once: int) -> dict[str, Any]:
    waiting = iter(queries)
    took_ms: list[float] = []

    async def ask() -> None:
        for query in waiting:
            began_s = time.perf_counter()
            if not await search(client, query, collections=[_COLLECTION], limit=8):
                raise RuntimeError(f"nothing was found for {query!r}")
            took_ms.append((time.perf_counter() - began_s) * 1e3)

    await asyncio.gather(*(ask() for _ in range(at_once)))
    times = spread(took_ms[_WARM_UP:])
    return {
        "in parallel": at_once,
        "p50 ms": times["p50"],
        "p99 ms": times["p99"],
        "longest ms": times["max"],
    }


async def measure_end_to_end(passages: int, searches: int, data_folder: Path | None) -> dict[str, Any]:
    """Have a stack read documents of about so many passages, and search them."""
    data = read_cranfield(data_folder or DATA)
    documents = dict(_documents(data, max(1, passages // _PASSAGES_A_DOCUMENT)))
    queries = _queries(data, 2 * searches)
    async with open_retrieval_stack(_ENVIRONMENT) as stack, open_client(stack) as client:
        tell(f"{len(documents)} documents are read in")
        read = await ingest(client, documents, _COLLECTION)
        half = len(queries) // 2
        rows: list[dict[str, Any]] = []
        for at_once, some in ((1, queries[:half]), (16, queries[half:])):
            tell(f"searching, {at_once} in parallel")
            rows.append({"passages": read["chunks"], **await _searched(client, some, at_once)})
    print_table("read in", [read])
    print_table("search end to end", rows)
    print(LEGEND)
    return {"read": read, "searches": rows}
