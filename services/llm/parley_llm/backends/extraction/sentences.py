"""Where a sentence ends: abbreviations, code spans, names and numbers do not end one."""

import re

LONGEST_BRACKET_CHARS = 200

# Typographic quotation marks close a sentence and open one; full-width stops need no space after them.
_CANDIDATE = re.compile(
    r"""[.!?\u2026]+["'\u201d\u2019)\]*_]*\s+(?=\S)|[\u3002\uff01\uff1f]""",
)
_LAST_WORD = re.compile(r"[\w.'-]+$")
_OPENS_SENTENCE = re.compile(
    r"""["'\u201c\u2018(\[`*_]*[A-Z0-9\u00c0-\u00de`/<\-\u0400-\u042f]""",
)
_NUMERIC_ABBREVIATIONS_TEXT = """
no nr fig figs sec sect ch chap p pp vol ext art eq tab app approx ca
"""
_NUMERIC_ABBREVIATIONS = frozenset(_NUMERIC_ABBREVIATIONS_TEXT.split())
_ABBREVIATIONS_TEXT = """
e.g i.e cf vs dr mr mrs ms prof st jr sr inc ltd co corp dept est incl excl resp misc min max al viz
jan feb mar apr jun jul aug sep sept oct nov dec u.s u.k a.m p.m ph.d z.b d.h bzw usw ed eds repr
"""
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())


def split_sentences(text: str) -> tuple[str, ...]:
    """Return the sentences of one paragraph, in order, without the space between them."""
    sentences: list[str] = []
    start = 0
    for candidate in _CANDIDATE.finditer(text):
        end = candidate.end()
        if not _ends_sentence(text, start, candidate.start(), end):
            continue
        sentences.append(text[start:end].strip())
        start = end
    sentences.append(text[start:].strip())
    return tuple(sentence for sentence in sentences if sentence)


def _ends_sentence(text: str, start: int, stop: int, following: int) -> bool:
    """Whether the punctuation at `stop` ends the sentence that began at `start`."""
    written = text[start:stop]
    if written.count("`") % 2 or _is_in_brackets(written, text[stop:following]):
        return False
    if text[stop] != ".":
        return True
    last = _LAST_WORD.search(written)
    word = last.group() if last else ""
    if _is_abbreviation(word, text[following : following + 1]) or written.strip() == word:
        return False
    # Names of programs open sentences in lower case; only a full word before the stop lets them.
    return bool(_OPENS_SENTENCE.match(text, following)) or (len(word) >= 4 and word.isalpha())


def _is_abbreviation(word: str, following: str) -> bool:
    """Whether the stop after a word belongs to the word: an initial, `cf.`, or `No.` before a number."""
    if len(word) == 1 and word.isupper() and word != "I":
        return True
    plain = word.lower()
    return plain in _ABBREVIATIONS or (plain in _NUMERIC_ABBREVIATIONS and following.isdigit())


def _is_in_brackets(written: str, end: str) -> bool:
    """Whether a bracket opened shortly before is still open; one far back is a stray."""
    is_open = written.count("(") > written.count(")") + end.count(")")
    return is_open and len(written) - written.rfind("(") < LONGEST_BRACKET_CHARS
