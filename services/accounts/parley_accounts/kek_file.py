"""The file that the key-encryption key is kept in; it is in no database."""

import secrets
from pathlib import Path

from parley_envelope.envelope import KEY_BYTES, parse_key
from parley_identity.secret_files import create_once

KEK_FILE = "kek.key"


def read_or_make_key(folder: Path) -> bytes:
    """Return the key in the folder's file, which is made for this user alone when it is absent."""
    path = folder / KEK_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_once(path, secrets.token_hex(KEY_BYTES))
    try:
        return parse_key(path.read_text(encoding="ascii"))
    except ValueError as error:
        raise ValueError(f"{path} holds no key: {error}") from None
