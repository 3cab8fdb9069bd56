"""The answer as Markdown: quotes with their numbers, or one plain sentence when there are none."""

import re
from collections.abc import Sequence

from parley_contracts.citations import Citation

from parley_llm.backends.extraction.echoes import EchoFinder
from parley_llm.backends.extraction.ranking import rank_units
from parley_llm.backends.extraction.selection import Quote, select_quotes
from parley_llm.backends.extraction.terms import TermReader
from parley_llm.backends.extraction.units import Unit, UnitKind

LEAST_RELEVANCE = 0.36

NOTHING_FOUND = (
    "I have nothing to quote about that. I answer by quoting your documents, so please ask in the words "
    "they use, or add a document that covers it."
)
NOT_SEARCHED = (
    "Your documents could not be searched just now, so I have nothing to quote. Please ask again in a moment."
)
WHAT_I_DO = (
    "I answer questions by quoting the sentences of your documents that fit best, each with its source. "
    "Add documents and ask about what they say."
)

_LINK = re.compile(r"!?\[([^\]\[]*)\]\([^()\s]*(?:\s\"[^\"]*\")?\)")
_NUMBER_MARK = re.compile(r"\[(\d+(?:\s*[,-]\s*\d+)*)\]")
_CODE_SPAN = re.compile(r"(`+[^`]*`+)")
_OPENS_BLOCK = re.compile(r"^(?=#{1,6}\s|>|[-+*]\s|\d+[.)]\s|~~~)")


class AnswerWriter:
    """Writes answers; the same question and passages always give the same text."""

    def __init__(self) -> None:
        self._reader = TermReader()

    def write(self, question: str, citations: Sequence[Citation], *, were_searched: bool = True) -> str:
        """Return the whole answer to a question from its numbered passages.

        `were_searched` is false when the passages are not all there could be, for search was away.
        """
        asked = self._reader.question(question)
        if not asked.terms:
            return WHAT_I_DO
        ranking = rank_units(self._reader, asked, EchoFinder(self._reader, question), citations)
        quotes = select_quotes(ranking) if ranking.relevance >= LEAST_RELEVANCE else ()
        if not quotes:
            return NOTHING_FOUND if were_searched else NOT_SEARCHED
        lead, *others = (_quoted(quote, citations[quote.passage].n) for quote in quotes)
        if not others:
            return lead
        return "\n\n".join((lead, "Also in your documents:", *(_as_item(other) for other in others)))


def _quoted(quote: Quote, number: int) -> str:
    """Return a quote as Markdown, `[n]` after its sentences and before a list or code that follows them."""
    sentences = [unit for unit in quote.units if unit.kind is UnitKind.SENTENCE]
    rest = [unit for unit in quote.units if unit.kind is not UnitKind.SENTENCE]
    mark = f" [{number}]"
    if not sentences:
        lead, *rest = rest
        if lead.kind is UnitKind.CODE:
            return f"{_code(lead.text)}\n\n{mark.strip()}" + _following(rest)
        return _readable(lead.text) + mark + _following(rest)
    return " ".join(_readable(unit.text) + mark for unit in sentences) + _following(rest)


def _following(units: Sequence[Unit]) -> str:
    text = ""
    for unit in units:
        is_code = unit.kind is UnitKind.CODE
        text += f"\n\n{_code(unit.text)}" if is_code else f"\n- {_readable(unit.text)}"
    return text.replace("\n- ", "\n\n- ", 1) if text.startswith("\n- ") else text


def _code(text: str) -> str:
    fence = "````" if "```" in text else "```"
    return f"{fence}\n{text}\n{fence}"


def _as_item(quote: str) -> str:
    """Return a quote as one list item, its further lines indented into it."""
    first, *others = quote.splitlines()
    return "\n".join([f"- {first}", *(f"  {line}" if line else "" for line in others)])


def _readable(text: str) -> str:
    """Return quoted text for Markdown to show as it stands, its own `[3]` no citations of ours."""
    plain = _LINK.sub(r"\1", text)
    parts = _CODE_SPAN.split(plain)
    for index in range(0, len(parts), 2):
        parts[index] = _NUMBER_MARK.sub(r"\\[\1\\]", parts[index]).replace("<", "\\<")
    return _OPENS_BLOCK.sub(r"\\", "".join(parts))
