# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# reason: snowballstemmer ships no types; this module is the only place that imports it.
"""Words reduced to their stems, so that another form of a word still matches."""

from snowballstemmer.english_stemmer import EnglishStemmer

CACHE_WORDS = 50_000


class Stemmer:
    """The Snowball English stemmer with a bounded cache: a stem costs 30 us, a cached one 0.1 us."""

    def __init__(self) -> None:
        self._snowball = EnglishStemmer()
        self._stems: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        """Return the stem of a lower-case word; short words, numbers and foreign ones stay as they are."""
        if len(word) < 4 or not word.isalpha() or not word.isascii():
            return word
        stem = self._stems.get(word)
        if stem is None:
            if len(self._stems) >= CACHE_WORDS:
                self._stems.clear()
            stem = self._stems[word] = str(self._snowball.stemWord(word))
        return stem
