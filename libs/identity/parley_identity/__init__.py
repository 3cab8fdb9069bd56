"""Access tokens: written by the accounts service, verified by whoever has its published keys."""

from parley_identity.access_token import (
    AccessTokenVerifier,
    RefusedTokenError,
    TokenFault,
    sign_access_token,
)
from parley_identity.published_key import public_key, published

__all__ = [
    "AccessTokenVerifier",
    "RefusedTokenError",
    "TokenFault",
    "public_key",
    "published",
    "sign_access_token",
]
