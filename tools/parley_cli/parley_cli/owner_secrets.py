"""The local owner's API key and the key that names turns: created once, readable by their user only."""

import secrets
from pathlib import Path

from parley_cli.secret_files import create_once

OWNER_KEY = "owner.key"
TURN_KEY = "turn.key"
KEY_PREFIX = "pk_"


def create_secrets(directory: Path) -> None:
    """Create what is missing of the secrets and close the folder to everybody else."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    new_texts = {OWNER_KEY: KEY_PREFIX + secrets.token_urlsafe(32), TURN_KEY: secrets.token_hex(32)}
    for name, text in new_texts.items():
        path = directory / name
        if not path.exists():
            create_once(path, text)


def require_readable(directory: Path) -> None:
    """Read every secret once. Raises the OSError that a service would meet later."""
    for name in (OWNER_KEY, TURN_KEY):
        (directory / name).read_bytes()


def read_owner_key(directory: Path) -> str | None:
    """Return the local owner's API key, or None when there is none yet."""
    try:
        return (directory / OWNER_KEY).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def login_link(url: str, owner_key: str) -> str:
    """Return the link that logs a browser in; the key is in the fragment, which browsers do not send."""
    return f"{url}/login#key={owner_key}"
