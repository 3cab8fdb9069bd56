"""What an answer had to do without, in the words that the page uses."""

from collections.abc import Iterable

PARTS = {
    "memory": "earlier messages and memories were out of reach",
    "rag": "your documents could not be searched",
    "npu": "documents were searched by words only, not by meaning",
    "reranker": "passages were not put into their best order",
    "browser": "the web page could not be read",
    "model": "no language model was in reach, so this quotes the passages directly",
}


def degraded_words(parts: Iterable[str]) -> str:
    """Return one sentence that names the parts, "" when nothing was missing."""
    known = dict.fromkeys(PARTS.get(part, f"{part} was not available") for part in parts)
    return f"For this answer, {'; '.join(known)}." if known else ""
