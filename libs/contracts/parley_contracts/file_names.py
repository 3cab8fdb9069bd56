"""Which names files may have, alone or in an archive."""

import re

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Those that are not shown, and those that turn the order in which a name is shown."""

_DRIVE = re.compile(r"[A-Za-z]:")


def name_fault(name: str) -> str | None:
    """Return why a file may not have this name, as a sentence, or None. Folders before it are fine."""
    if CONTROL_CHARACTERS.search(name):
        return "Its name holds control characters."
    path = name.replace("\\", "/")
    if path.startswith("/") or _DRIVE.match(path):
        return "Its name is an absolute path."
    if ".." in (part.strip() for part in path.split("/")):
        return "Its name leads out of its folder."
    return None
