"""Files that hold secrets: written whole, and readable by their user only."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def create_once(path: Path, text: str) -> None:
    """Write a file unless it exists; another process sees all of it or nothing, and both the same one."""

    def put(draft: Path) -> None:
        with suppress(FileExistsError):
            os.link(draft, path)

    _write(path, text, put)


def replace_private(path: Path, text: str) -> None:
    """Write a file anew; a reader sees the old text or the new one."""
    _write(path, text, lambda draft: draft.replace(path))


def _write(path: Path, text: str, put: Callable[[Path], object]) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        put(draft)
    finally:
        draft.unlink(missing_ok=True)
