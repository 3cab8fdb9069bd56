"""The Cranfield collection: 1,400 abstracts of aerodynamics, 225 queries, and which abstracts answer them."""

import re
from dataclasses import dataclass
from pathlib import Path

_RECORD = re.compile(r"^\.I \d+\n", re.M)
_FIELD = re.compile(r"^\.([TABW])\n", re.M)
_RELEVANT = {"1", "2", "3", "4"}  # from a complete answer to minimal interest; -1 and 5 are not


@dataclass(frozen=True, slots=True)
class Cranfield:
    """Documents as Markdown, by number from 1; queries, by position from 1; relevant documents a query."""

    documents: dict[int, str]
    queries: dict[int, str]
    relevant: dict[int, frozenset[int]]


def read_cranfield(folder: Path) -> Cranfield:
    """Read the collection; a document without a word is left out."""
    documents = {
        number: f"# {title}\n\n{text}\n" if title else f"{text}\n"
        for number, (title, text) in enumerate(map(_document, _records(folder / "cran.all.1400")), start=1)
        if title or text
    }
    # The numbers in the file are not consecutive; the judgements count by position.
    queries = {
        position: " ".join(_fields(record)["W"].split())
        for position, record in enumerate(_records(folder / "cran.qry"), start=1)
    }
    relevant: dict[int, set[int]] = {}
    for line in (folder / "cranqrel").read_text(encoding="ascii").splitlines():
        if line.strip():
            query, document, grade = line.split()
            if grade in _RELEVANT:
                relevant.setdefault(int(query), set()).add(int(document))
    return Cranfield(
        documents, queries, {query: frozenset(found) for query, found in sorted(relevant.items())}
    )


def _records(path: Path) -> list[str]:
    return _RECORD.split(path.read_text(encoding="ascii"))[1:]


def _fields(record: str) -> dict[str, str]:
    parts = _FIELD.split(record)
    # The first of a name counts: some texts have a line that looks like a field.
    return dict(reversed(list(zip(parts[1::2], parts[2::2], strict=True))))


def _document(record: str) -> tuple[str, str]:
    fields = _fields(record)
    return " ".join(fields.get("T", "").split()), fields.get("W", "").strip()
