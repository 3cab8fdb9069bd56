"""Where a browser goes after it has logged in: a path of ours, and never another host."""

import re

HOME = "/"
_MAX_CHARS = 512
# Two slashes begin a host, and browsers take a backslash for a slash.
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@%?#-][A-Za-z0-9._~!$&'()*+,;=:@%/?#-]*)?")


def return_path(asked: str) -> str:
    """Return a path that was asked for; the chat page for whatever is none."""
    return asked if len(asked) <= _MAX_CHARS and _PATH.fullmatch(asked) else HOME
