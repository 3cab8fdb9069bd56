"""Access tokens: JWTs (RFC 7519, RFC 9068) signed with Ed25519 and with nothing else (RFC 8725)."""

from enum import StrEnum
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from parley_contracts.credentials import AUDIENCE, AccessClaims, PublishedKeys
from parley_contracts.errors import ErrorCode, ParleyError
from pydantic import ValidationError

from parley_identity.published_key import public_key

ALGORITHM = "EdDSA"
TOKEN_TYPE = "at+jwt"
REQUIRED_CLAIMS = tuple(name for name, one in AccessClaims.model_fields.items() if one.is_required())
MAX_TOKEN_CHARS = 4096
LEEWAY_S = 10.0
"""How far the clocks of two machines may differ."""
LONGEST_S = 3600.0
"""A token that claims to live longer was not made by us."""


class TokenFault(StrEnum):
    """Why a token is refused: for logs and metrics, its bearer is told nothing of it."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_ISSUER = "wrong_issuer"
    BAD_CLAIMS = "bad_claims"
    REVOKED = "revoked"


class RefusedTokenError(ParleyError):
    """An access token that proves nothing; every one is refused in the same words."""

    def __init__(self, fault: TokenFault) -> None:
        super().__init__(ErrorCode.UNAUTHENTICATED, "The access token is not valid.")
        self.fault = fault


# The first that matches counts: PyJWT's errors derive from each other.
_FAULTS: tuple[tuple[type[Exception], TokenFault], ...] = (
    (jwt.ExpiredSignatureError, TokenFault.EXPIRED),
    (jwt.ImmatureSignatureError, TokenFault.NOT_YET_VALID),
    (jwt.InvalidAudienceError, TokenFault.WRONG_AUDIENCE),
    (jwt.InvalidIssuerError, TokenFault.WRONG_ISSUER),
    (jwt.MissingRequiredClaimError, TokenFault.BAD_CLAIMS),
    (jwt.InvalidSignatureError, TokenFault.BAD_SIGNATURE),
    (jwt.InvalidAlgorithmError, TokenFault.BAD_SIGNATURE),
    (jwt.PyJWTError, TokenFault.MALFORMED),
)


def fault_of(error: jwt.PyJWTError) -> TokenFault:
    """Return what is wrong with a token that PyJWT refuses."""
    return next(fault for kind, fault in _FAULTS if isinstance(error, kind))


def sign_access_token(claims: AccessClaims, kid: str, key: Ed25519PrivateKey) -> str:
    """Return the token that says `claims`, signed by the key that is published as `kid`."""
    headers = {"kid": kid, "typ": TOKEN_TYPE}
    return jwt.encode(claims.model_dump(mode="json"), key, algorithm=ALGORITHM, headers=headers)


class AccessTokenVerifier:
    """Tells what a token says, from published keys alone; `replace_keys` when those have changed.

    A token by an unknown key is refused with TokenFault.UNKNOWN_KEY: the caller may have missed a change.
    Whether a session was revoked, the caller looks up.
    """

    def __init__(self, keys: PublishedKeys, *, leeway_s: float = LEEWAY_S) -> None:
        self._leeway_s = leeway_s
        self.replace_keys(keys)

    def replace_keys(self, keys: PublishedKeys) -> None:
        """Verify by these keys from now on; ValueError, and no change, when one of them is none."""
        found = {key.kid: public_key(key) for key in keys.keys}
        if len(found) != len(keys.keys):
            raise ValueError("two published keys share a kid")
        self._issuer, self._keys = keys.issuer, found

    @property
    def kids(self) -> frozenset[str]:
        """Names of the keys that are known."""
        return frozenset(self._keys)

    def verify(self, token: str) -> AccessClaims:
        """Return what a token says; RefusedTokenError unless everything about it is right."""
        if len(token) > MAX_TOKEN_CHARS:
            raise RefusedTokenError(TokenFault.MALFORMED)
        try:
            claims = self._decoded(token)
        except jwt.PyJWTError as error:
            raise RefusedTokenError(fault_of(error)) from error
        if claims.exp - claims.iat > LONGEST_S:
            raise RefusedTokenError(TokenFault.BAD_CLAIMS)
        return claims

    def _decoded(self, token: str) -> AccessClaims:
        header: dict[str, Any] = jwt.get_unverified_header(token)
        if header.get("typ") != TOKEN_TYPE or header.get("alg") != ALGORITHM:
            raise RefusedTokenError(TokenFault.MALFORMED)
        kid = header.get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise RefusedTokenError(TokenFault.UNKNOWN_KEY)
        said: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=self._issuer,
            leeway=self._leeway_s,
            options={"require": list(REQUIRED_CLAIMS), "strict_aud": True},
        )
        try:
            return AccessClaims.model_validate(said)
        except ValidationError as error:
            raise RefusedTokenError(TokenFault.BAD_CLAIMS) from error
