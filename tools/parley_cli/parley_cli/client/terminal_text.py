"""Text of others on a terminal: control characters, which could steer it, become U+FFFD."""

import re

from rich.markup import escape

CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def inert(text: str) -> str:
    """Return text as long as before, in which only line ends and tabs move the cursor."""
    return CONTROLS.sub("\ufffd", text)


def told(text: str) -> str:
    """Return text as markup that shows it as it is."""
    return escape(inert(text))
