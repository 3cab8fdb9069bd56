"""Access tokens and claims on the bus, written by those who hold a key and verified by public ones alone."""

from parley_identity.access_token import (
    AccessTokenVerifier,
    RefusedTokenError,
    TokenFault,
    sign_access_token,
)
from parley_identity.bus_claims import open_claims
from parley_identity.claims_files import create_claims_keys, rotate_claims_key
from parley_identity.published_key import public_key, published

__all__ = [
    "AccessTokenVerifier",
    "RefusedTokenError",
    "TokenFault",
    "create_claims_keys",
    "open_claims",
    "public_key",
    "published",
    "rotate_claims_key",
    "sign_access_token",
]
