"""Folders that hold secrets."""

from pathlib import Path


def make_private_folder(path: Path) -> None:
    """Make a folder that only its user may look into, and so each one above it that is not there."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            # `parents=True` gives those above what the umask leaves of everything.
            folder.mkdir(mode=0o700, exist_ok=True)
