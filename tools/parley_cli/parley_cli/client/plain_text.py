"""Markdown as it is read without being rendered: escapes are taken back, everything else stays."""

import re

ESCAPE_OR_CODE = re.compile(
    r"""
    ^\ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^\ {0,3}(?P=fence)|\Z)   # a fenced block
    | (?P<ticks>`+)(?!`).*?(?:(?<!`)(?P=ticks)(?!`)|(?=\n\s*\n)|\Z)   # a code span, within its paragraph
    | \\(?P<escaped>[!-/:-@\[-`{-~])                           # CommonMark: any ASCII punctuation
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)


def unescaped(text: str) -> str:
    """Return the text without backslash escapes; in code a backslash is itself.

    Of a growing text, each result begins with the one before; a last backslash may yet become an escape.
    """
    return ESCAPE_OR_CODE.sub(lambda match: match["escaped"] or match[0], text)


def without_open_escape(text: str) -> str:
    """Return a growing text without a last backslash whose meaning is still open."""
    backslashes = len(text) - len(text.rstrip("\\"))
    return text[:-1] if backslashes % 2 else text
