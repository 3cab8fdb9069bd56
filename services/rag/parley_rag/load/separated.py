"""CSV and TSV: one table, its first row the names of the columns."""

import csv
from collections import Counter
from io import StringIO

from parley_rag.load.extraction import Extraction, TextBuilder, UnreadableDocument
from parley_rag.load.sniff import decode

_MAX_FIELD_CHARS = 131_072
_SAMPLE_LINES = 20
_SAMPLE_CHARS = 1 << 16
_DELIMITERS = ",;\t|"


def load_separated(data: bytes) -> Extraction:
    """Read a table of separated values; what separates them is found out."""
    text = decode(data).lstrip("\ufeff").replace("\x00", "")
    csv.field_size_limit(_MAX_FIELD_CHARS)
    builder = TextBuilder()
    try:
        builder.add_table(csv.reader(StringIO(text, newline=""), delimiter=delimiter_of(text)))
    except csv.Error as error:
        raise UnreadableDocument(
            "The table is damaged: a quote is never closed, or a field is longer than "
            f"{_MAX_FIELD_CHARS:,} characters."
        ) from error
    return builder.build(None)


def delimiter_of(text: str) -> str:
    """Return the character that stands equally often in most of the first lines."""
    lines = [line for line in text[:_SAMPLE_CHARS].splitlines()[:_SAMPLE_LINES] if line.strip()]

    def agreement(delimiter: str) -> tuple[int, int]:
        counts = Counter(line.count(delimiter) for line in lines if delimiter in line)
        often, lines_alike = max(counts.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        return lines_alike, often

    return max(_DELIMITERS, key=agreement) if lines else ","
