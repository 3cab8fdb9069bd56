"""Files that hold secrets: made once, whole, and readable by their user only."""

import os
import secrets
from pathlib import Path


def make_private_folder(path: Path) -> None:
    """Make a folder that only its user may look into, and so each one above it that is not there."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            # `parents=True` gives those above what the umask leaves of everything.
            folder.mkdir(mode=0o700, exist_ok=True)


def create_once(path: Path, text: str) -> None:
    """Write a file unless it exists; another process sees all of it or nothing."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def replace_private(path: Path, text: str) -> None:
    """Write a file anew, readable by its user only; a reader sees the old text or the new one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
