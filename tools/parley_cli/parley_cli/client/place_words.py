"""Where in its document a passage stands, in the words that the page uses."""

from parley_contracts.citations import Passage


def place_words(passage: Passage) -> str:
    """Return its page or pages, else the headings above it, "" for neither."""
    if passage.page is None:
        return passage.heading or ""
    if passage.end_page is None:
        return f"page {passage.page}"
    return f"pages {passage.page}-{passage.end_page}"
