"""Keys by which users prove themselves to nats-server, which knows the public half."""

# nkeys has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

import secrets
from typing import Any

import nkeys


def new_seed() -> str:
    """Return the seed of a new user."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode()


def public_key(seed: str) -> str:
    """Return what nats-server's configuration holds of a user; ValueError for what is no seed."""
    try:
        pair: Any = nkeys.from_seed(bytearray(seed.encode()))
    except nkeys.NkeysError:
        raise ValueError("no seed of a user of the bus") from None
    found: str = pair.public_key.decode()
    pair.wipe()
    return found
