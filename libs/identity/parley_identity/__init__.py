"""Access tokens, written by accounts and verified by published keys alone, and what is refused of them."""

from parley_identity.access_token import (
    AccessTokenVerifier,
    RefusedTokenError,
    TokenFault,
    sign_access_token,
)
from parley_identity.published_key import public_key, published
from parley_identity.revocation_board import RevocationBoard, open_board

__all__ = [
    "AccessTokenVerifier",
    "RefusedTokenError",
    "RevocationBoard",
    "TokenFault",
    "open_board",
    "public_key",
    "published",
    "sign_access_token",
]
