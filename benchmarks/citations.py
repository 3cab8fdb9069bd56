"""`python -m benchmarks.citations`: how exactly a search says where an answer stands, on real PDFs.

PDFs of Debian packages are uploaded to a stack of its own, and questions made by a rule (`citation_pairs.py`)
are asked of `POST /api/search`. Right pages and sentences are those of the program `pdftotext`.
"""

import argparse
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import uvloop

from benchmarks.citation_pairs import Pair, make_pairs, missing_words, pages_of, plain, shared_share
from benchmarks.retrieval_stack import ingest, keep, open_client, open_retrieval_stack, search
from benchmarks.table import print_table, tell
from tests.integration.manuals import debian_packages
from tests.integration.manuals.question_set import Package

COLLECTION = "manuals"
PAIRS, QUICK_PAIRS = 200, 20
SHOWN = 8
LEAST_SHARED = 0.6
REACH = {"right page": 0.95, "range holds the sentence": 0.85}
PACKAGES = (
    Package("bzip2-doc", "1.0.8-5", (("usr/share/doc/bzip2/manual.pdf.gz", "bzip2.pdf"),)),
    Package("debian-faq", "11.1", (("usr/share/doc/debian/FAQ/debian-faq.en.pdf.gz", "debian-faq.pdf"),)),
    Package(
        "debian-policy",
        "4.6.2.0",
        (
            ("usr/share/doc/debian-policy/policy.pdf.gz", "debian-policy.pdf"),
            ("usr/share/doc/debian-policy/fhs/fhs-3.0.pdf.gz", "fhs.pdf"),
        ),
    ),
    Package(
        "developers-reference",
        "12.18",
        (("usr/share/developers-reference/developers-reference.pdf", "developers-reference.pdf"),),
    ),
    Package("stow", "2.3.1-1", (("usr/share/doc/stow/manual.pdf.gz", "stow.pdf"),)),
)
QUICK_FILES = ("stow.pdf", "bzip2.pdf")
LEGEND = f"""\
pairs: questions made from a sentence each: stop words dropped, synonyms put in, the order changed.
retrieved: one of {SHOWN} results, of the right document, has {LEAST_SHARED:.0%} of its word triples.
right page: that result names the page on which pdftotext finds the sentence.
range holds the sentence: the result's text has all of it, letters and digits compared.
exact: the result's text is what `GET /api/documents/{{id}}/passage` gives from its `start` to its `end`.
The last three are shares of the retrieved."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search gave for a pair; the latter fields are of the result that was judged, if there is one."""

    pair: Pair
    rank: int | None = None
    page: int | None = None
    is_right_page: bool = False
    holds_sentence: bool = False
    is_exact: bool = False
    reason: str | None = None


def _missing() -> str | None:
    if shutil.which("pdftotext") is None:
        return "pdftotext is not on this machine (Debian's package poppler-utils)"
    return debian_packages.missing()


async def _judge(client: httpx.AsyncClient, pair: Pair) -> Outcome:
    results = await search(client, pair.question, collection=COLLECTION, limit=SHOWN)
    places = [
        (rank, result)
        for rank, result in enumerate(results, 1)
        if result["document"]["name"] == pair.file
        and shared_share(pair.sentence, result["text"]) >= LEAST_SHARED
    ]
    if not places:
        return Outcome(pair, reason=f"not among {SHOWN} results")
    rank, best = places[0]
    span = {"start": best["start"], "end": best["end"]}
    answer = await client.get(f"/api/documents/{best['document']['id']}/passage", params=span)
    is_exact = answer.raise_for_status().json()["text"] == best["text"]
    is_right_page = best["page"] <= pair.page <= best.get("end_page", best["page"])
    holds_sentence = plain(pair.sentence) in plain(best["text"])
    lacking = missing_words(pair.sentence, [best["text"]]) or "its order"
    reasons = [
        None if is_right_page else f"page {best['page']} is named, it stands on {pair.page}",
        None if holds_sentence else f"the range lacks: {lacking}",
        None if is_exact else "the document's text at that range is another",
    ]
    reason = "; ".join(filter(None, reasons)) or None
    return Outcome(pair, rank, best["page"], is_right_page, holds_sentence, is_exact, reason)


def _shares(outcomes: list[Outcome]) -> dict[str, float]:
    retrieved = [one for one in outcomes if one.rank is not None]
    count = max(1, len(retrieved))
    return {
        "retrieved": len(retrieved) / max(1, len(outcomes)),
        "right page": sum(one.is_right_page for one in retrieved) / count,
        "range holds the sentence": sum(one.holds_sentence for one in retrieved) / count,
        "exact": sum(one.is_exact for one in retrieved) / count,
    }


def _rows(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    files = sorted({one.pair.file for one in outcomes})
    rows: list[dict[str, Any]] = []
    for name in (*files, "all"):
        some = [one for one in outcomes if name in (one.pair.file, "all")]
        shares = {label: f"{share:.1%}" for label, share in _shares(some).items()}
        rows.append({"document": name, "pairs": len(some), **shares})
    return rows


async def _measure(documents: dict[str, bytes], pairs: list[Pair]) -> dict[str, Any]:
    async with open_retrieval_stack() as stack, open_client(stack) as client:
        tell("the stack runs")
        ingested = await ingest(client, documents, COLLECTION)
        tell(f"asking {len(pairs)} questions")
        outcomes = [await _judge(client, pair) for pair in pairs]
    return {"ingested": ingested, "outcomes": outcomes}


def _print_misses(outcomes: list[Outcome]) -> None:
    for one in (one for one in outcomes if one.reason):
        print(f"- {one.pair.file}, page {one.pair.page}: {one.reason}")
        print(f"    sentence: {one.pair.sentence}\n    question: {one.pair.question}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.citations", description=__doc__)
    kept = Path(tempfile.gettempdir(), "parley-test-manuals")
    parser.add_argument("--data", type=Path, default=kept, help="folder that keeps the packages")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} pairs of two short manuals")
    arguments = parser.parse_args()
    if reason := _missing():
        print(f"citations: left out, for {reason}")
        return
    documents = debian_packages.documents_of(PACKAGES, arguments.data)
    if arguments.quick:
        documents = {name: documents[name] for name in QUICK_FILES}
    pages = {name: pages_of(content) for name, content in documents.items()}
    pairs = make_pairs(pages, QUICK_PAIRS if arguments.quick else PAIRS)
    result = uvloop.run(_measure(documents, pairs))
    outcomes: list[Outcome] = result["outcomes"]
    shares = _shares(outcomes)
    size = f"{sum(map(len, pages.values()))} pages, {result['ingested']['chunks']} passages"
    print_table(
        f"citations: {len(documents)} PDFs, {size}{' (--quick)' if arguments.quick else ''}", _rows(outcomes)
    )
    print(LEGEND)
    for label, reach in REACH.items():
        print(f"{label}: {shares[label]:.1%}, to reach {reach:.0%}")
    print("\nMisses")
    _print_misses(outcomes)
    path = keep(
        "citations",
        {
            "is_quick": arguments.quick,
            "ingested": result["ingested"],
            "shares": shares,
            "outcomes": [asdict(one) for one in outcomes],
        },
    )
    print(f"kept in {path}")


if __name__ == "__main__":
    main()
