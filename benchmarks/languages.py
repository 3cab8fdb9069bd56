"""`python -m benchmarks.languages`: what the embedding model and a collection's language do to a text.

Known-item search over the Debian FAQ: each section is a document without its heading, and its heading, a
question, has to find it. The translations say the same, so that languages can be compared.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

import httpx
import uvloop

from benchmarks.faq_data import LANGUAGES, Section, missing, read_faq
from benchmarks.ranking_quality import mean, reciprocal_rank
from benchmarks.retrieval_stack import ingest, keep, open_client, open_retrieval_stack, search
from benchmarks.table import print_table, tell

LEGEND = """\
MRR@10: mean of one over the place of the section that the question is the heading of; 0 beyond the tenth.
meaning: all-MiniLM-L6-v2, a model of English. English words, own words: the same texts in a collection of
language `english`, and in one of their own. default: both ways in a collection of their own language."""
_FIRST = "english"
_DEPTH = 10
_QUICK_SECTIONS = 15
_QUICK_LANGUAGES = ("en", "de")
_AT_ONCE = 4


async def _mrr(client: httpx.AsyncClient, sections: list[Section], collection: str, mode: str) -> float:
    door = asyncio.Semaphore(_AT_ONCE)

    async def ask(number: int, question: str) -> float:
        async with door:
            found = await search(
                client, question, collection=collection, mode=mode, limit=_DEPTH, max_per_document=1
            )
        ranked = [int(Path(passage["document"]["name"]).stem) for passage in found]
        return reciprocal_rank(ranked, number, _DEPTH)

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask(n, section.question)) for n, section in enumerate(sections)]
    return mean([task.result() for task in asked])


async def _row(client: httpx.AsyncClient, code: str, sections: list[Section]) -> dict[str, Any]:
    tell(f"{code}: {len(sections)} sections")
    documents = {f"{number:03}.txt": section.text for number, section in enumerate(sections)}
    own = LANGUAGES[code]
    for language in dict.fromkeys((_FIRST, own)):
        made = {"name": f"{code}-{language}", "language": language}
        (await client.post("/api/collections", json=made)).raise_for_status()
        await ingest(client, documents, made["name"])
    figures = {
        "meaning": (own, "meaning"),
        "English words": (_FIRST, "words"),
        "own words": (own, "words"),
        "plain RRF": (own, "rrf"),
        "default": (own, "hybrid"),
    }
    row: dict[str, Any] = {"MRR@10": own, "sections": len(sections)}
    for name, (language, mode) in figures.items():
        row[name] = f"{await _mrr(client, sections, f'{code}-{language}', mode):.3f}"
    return row


async def _measure(texts: dict[str, list[Section]]) -> list[dict[str, Any]]:
    async with open_retrieval_stack() as stack, open_client(stack) as client:
        return [await _row(client, code, sections) for code, sections in texts.items()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.languages", description=__doc__)
    folder = Path(tempfile.gettempdir(), "parley-bench-faq")
    parser.add_argument("--data", type=Path, default=folder, help="where packages are downloaded to and kept")
    parser.add_argument("--quick", action="store_true", help="few sections of two languages: not comparable")
    arguments = parser.parse_args()
    if reason := missing():
        print(f"languages: skipped, as {reason}; the texts are out of packages of Debian")
        return
    codes = _QUICK_LANGUAGES if arguments.quick else tuple(LANGUAGES)
    texts = {code: read_faq(code, arguments.data) for code in codes}
    if arguments.quick:
        texts = {code: sections[:_QUICK_SECTIONS] for code, sections in texts.items()}
    rows = uvloop.run(_measure(texts))
    quick = " (--quick: not comparable)" if arguments.quick else ""
    print_table(f"languages: questions of the Debian FAQ to its sections{quick}", rows)
    print(LEGEND)
    print(f"kept in {keep('languages', {'is_quick': arguments.quick, 'rows': rows})}")


if __name__ == "__main__":
    main()
