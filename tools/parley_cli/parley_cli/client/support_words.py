"""What an answer rests on when that is no document, in the words that the page uses."""

from parley_contracts.turns import Support

WORDS = {
    Support.UNCITED: "This answer cites none of the passages that were found for it.",
    Support.NOTHING_FOUND: "Nothing was found in your documents to rest this answer on.",
}


def support_words(support: Support | None) -> str:
    """Return a sentence, "" when the answer cites something or nothing was searched."""
    return WORDS.get(support, "") if support else ""
