"""The title of a conversation that nobody has named."""

MAX_TITLE_CHARS = 60
_NOTHING_TO_READ = "Untitled"


def title_of(question: str) -> str:
    """Return the first words of a question on one line of at most MAX_TITLE_CHARS; "…" says it goes on."""
    words = " ".join(question.split())
    if len(words) <= MAX_TITLE_CHARS:
        return words or _NOTHING_TO_READ
    cut = words.rfind(" ", 0, MAX_TITLE_CHARS)
    return words[: cut if cut > 0 else MAX_TITLE_CHARS - 1] + "…"
