"""The local owner's API key, the key that names turns, and codes of login links: for their user only."""

import contextlib
import os
import secrets
import time
from pathlib import Path

from parley_contracts.login_code import LOGIN_CODE_S, LOGIN_CODES_FOLDER, code_file
from parley_identity.secret_files import create_once

from parley_cli.private_folder import make_private_folder

OWNER_KEY = "owner.key"
TURN_KEY = "turn.key"
CLAIMS_FILES = ("claims.key", "claims-rag.key", "claims-llm.key", "claims.pub")
KEY_PREFIX = "pk_"


def create_secrets(directory: Path) -> None:
    """Create what is missing of the secrets and close the folder to everybody else."""
    make_private_folder(directory)
    directory.chmod(0o700)
    new_texts = {OWNER_KEY: KEY_PREFIX + secrets.token_urlsafe(32), TURN_KEY: secrets.token_hex(32)}
    for name, text in new_texts.items():
        path = directory / name
        if not path.exists():
            create_once(path, text)
    if not all((directory / name).exists() for name in CLAIMS_FILES):
        # The library of keys takes longer to import than all else of a start, and is needed once.
        from parley_identity.claims_files import create_claims_keys  # noqa: PLC0415 - see above

        create_claims_keys(directory)


def require_readable(directory: Path) -> None:
    """Read every secret once. Raises the OSError that a service would meet later."""
    for name in (OWNER_KEY, TURN_KEY, *CLAIMS_FILES):
        (directory / name).read_bytes()


def read_owner_key(directory: Path) -> str | None:
    """Return the local owner's API key, or None when there is none yet."""
    try:
        return (directory / OWNER_KEY).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def new_login_code(directory: Path) -> str:
    """Return a code that logs a browser in as the local owner, once, within a quarter of an hour."""
    folder = directory / LOGIN_CODES_FOLDER
    folder.mkdir(exist_ok=True, mode=0o700)
    _forget_old_codes(folder)
    code = secrets.token_urlsafe(32)
    os.close(os.open(folder / code_file(code), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return code


def _forget_old_codes(folder: Path) -> None:
    for path in folder.iterdir():
        # A gateway may take one away meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - LOGIN_CODE_S:
                path.unlink()


def login_link(url: str, code: str) -> str:
    """Return the link that logs a browser in; the code is in the fragment, which browsers do not send."""
    return f"{url}/login#code={code}"
