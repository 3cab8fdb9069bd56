"""What a person would read of a rendered page: the main text, without menus, banners and scripts."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# lxml comes without types.

import re

# Shorter extractions tend to have missed the point of the page; its whole inner text is then small as well.
_MIN_EXTRACTED_CHARS = 250
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BLANK_LINES = re.compile(r"\n\s*\n\s*")


def extract_main_text(html: str, inner_text: str) -> str:
    """Return the main text of rendered HTML; `inner_text` where the extraction finds little or breaks."""
    from lxml.etree import LxmlError  # noqa: PLC0415 - loaded on the first read only
    from trafilatura import extract  # noqa: PLC0415 - 40 MB, for the first read

    try:
        extracted = extract(html, include_comments=False, include_tables=True, favor_recall=True)
    except (LxmlError, RecursionError, ValueError):
        # Hostile markup: nesting or characters that the parser does not take.
        return inner_text
    if extracted is None or len(extracted) < _MIN_EXTRACTED_CHARS:
        return inner_text
    return extracted


def tidy(text: str) -> str:
    """Return text without lone surrogates (which no encoder takes), control characters and runs of blanks."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    lines = whole.replace("\r\n", "\n").replace("\r", "\n")
    return _BLANK_LINES.sub("\n\n", _CONTROLS.sub("", lines)).strip()
