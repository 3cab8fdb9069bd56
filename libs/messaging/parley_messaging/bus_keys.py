"""Keys by which users prove themselves to nats-server, which knows the public half."""

import secrets

import nkeys


def new_seed() -> str:
    """Return the seed of a new user."""
    return nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER).decode()


def public_key(seed: str) -> str:
    """Return what nats-server's configuration holds of a user."""
    pair = nkeys.from_seed(bytearray(seed.encode()))
    found = pair.public_key.decode()
    pair.wipe()
    return found
