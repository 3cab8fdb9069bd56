"""Pairs of a question and the sentence that answers it, made by a rule from the pages of real PDFs.

The pages and their text are those of the program `pdftotext`: no loader of ours decides what is right.
A question holds the words of its sentence that carry meaning, some of them as synonyms, in another order.
"""

import hashlib
import re
import subprocess
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

PDFTOTEXT_S = 60.0
_LEAST_CHARS, _MOST_CHARS = 70, 240
_LEAST_WORDS, _MOST_WORDS = 7, 14
_LEAST_REPLACED = 2
_GRAM_WORDS = 3

_WORDS = tomllib.loads(Path(__file__).with_name("citation_words.toml").read_text(encoding="utf-8"))
STOP_WORDS: frozenset[str] = frozenset(_WORDS["stop_words"].split())
SYNONYMS: dict[str, str] = _WORDS["synonyms"]

_FORMS = (
    "What is said about {} with regard to {}?",
    "How are {} connected with {}?",
    "What holds for {} when it comes to {}?",
    "Where do I read about {} and {}?",
)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9'-]*[A-Za-z0-9]|\d+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_ODD = re.compile(r"[^\w\s,.;:'()-]|\.\d|\.{2}|_|\d{4,}")
_APART = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Pair:
    """A question, and where the sentence stands that answers it."""

    question: str
    file: str
    page: int
    sentence: str


def pages_of(pdf: bytes) -> list[str]:
    """Return the text of each page as `pdftotext` reads it."""
    done = subprocess.run(
        ["pdftotext", "-enc", "UTF-8", "-", "-"],
        input=pdf,
        capture_output=True,
        timeout=PDFTOTEXT_S,
        check=True,
    )
    return done.stdout.decode(errors="replace").split("\f")[:-1]


def plain(text: str) -> str:
    """Return letters and digits only: what stays the same however a page's lines and marks are read."""
    return _APART.sub("", unicodedata.normalize("NFKC", text).casefold())


def sentences_of(page: str) -> list[str]:
    """Return the sentences of a page that follow another one of their paragraph, so none has a heading."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", page):
        joined = re.sub(r"-\n(?=[a-z])", "", unicodedata.normalize("NFKC", paragraph))
        joined = joined.replace("\u2019", "'")
        found += [" ".join(sentence.split()) for sentence in _SENTENCE_END.split(joined)[1:]]
    return [sentence for sentence in found if _is_plain(sentence)]


def _is_plain(sentence: str) -> bool:
    return (
        _LEAST_CHARS <= len(sentence) <= _MOST_CHARS
        and sentence.endswith(".")
        and not _ODD.search(sentence)
        and _LEAST_WORDS <= len(_content_words(sentence)) <= _MOST_WORDS
    )


def _content_words(sentence: str) -> list[str]:
    words = [word.lower() for word in _WORD.findall(sentence)]
    return [word for word in words if word not in STOP_WORDS]


def question_of(sentence: str) -> str | None:
    """Return what a sentence answers, in other words; None when too few of its words have a synonym."""
    words = list(dict.fromkeys(_content_words(sentence)))
    if sum(word in SYNONYMS for word in words) < _LEAST_REPLACED:
        return None
    said = [SYNONYMS.get(word, word) for word in words]
    half = len(said) // 2
    form = _FORMS[_rank(sentence) % len(_FORMS)]
    return form.format(" ".join(said[half:]), " ".join(said[:half]))


def _rank(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def make_pairs(documents: Mapping[str, Sequence[str]], count: int) -> list[Pair]:
    """Return so many pairs of documents given as pages, in turn from each, the same on every machine.

    A sentence that stands in more than one place has no one right page, and makes no pair.
    """
    by_file = {
        name: [(number, sentence) for number, page in enumerate(pages, 1) for sentence in sentences_of(page)]
        for name, pages in sorted(documents.items())
    }
    everything = [plain(page) for pages in documents.values() for page in pages]
    lanes: list[list[Pair]] = []
    for name, found in by_file.items():
        lane = [
            Pair(question, name, page, sentence)
            for page, sentence in sorted(found, key=lambda one: _rank(one[1]))
            if (question := question_of(sentence)) is not None
        ]
        lanes.append(lane)
    in_turn = (pair for pair in chain.from_iterable(zip_longest(*lanes)) if pair is not None)
    pairs: list[Pair] = []
    for pair in in_turn:
        if len(pairs) == count:
            break
        if sum(page.count(plain(pair.sentence)) for page in everything) == 1:
            pairs.append(pair)
    return pairs


def shared_share(sentence: str, passage: str) -> float:
    """Return the share of a sentence's word triples that stand in a passage: whether that is the place."""
    wanted, there = _grams(sentence), _grams(passage)
    return sum(min(count, there[gram]) for gram, count in wanted.items()) / max(1, wanted.total())


def _grams(text: str) -> Counter[tuple[str, ...]]:
    words = _APART.split(unicodedata.normalize("NFKC", text).casefold())
    words = [word for word in words if word]
    return Counter(zip(*(words[at:] for at in range(_GRAM_WORDS)), strict=False))


def missing_words(sentence: str, passages: Iterable[str]) -> str:
    """Return the words of a sentence that a passage does not have, of the passage with most of them."""
    words = sentence.split()
    lacking = [
        [word for word in words if plain(word) and plain(word) not in plain(passage)] for passage in passages
    ]
    return " ".join(min(lacking, key=len, default=words))
