"""Verifies ID tokens (OpenID Connect Core 1.0, 3.1.3.7): by the provider's keys, and for this login alone."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Any

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parley_accounts.oidc.faults import LoginFault, RefusedLoginError
from parley_accounts.oidc.provider import Provider
from parley_accounts.oidc.published_keys import ALGORITHMS

MAX_TOKEN_CHARS = 32 * 1024
LEEWAY_S = 30.0
"""How far the provider's clock may differ from ours."""

Seconds = Annotated[int | float, Field(ge=0, le=2**53)]
Text = Annotated[str, Field(min_length=1, max_length=2048)]

_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512, "DSA": hashlib.sha512}


class IdTokenClaims(BaseModel):
    """What an ID token says; what is not verified stands in `model_extra`."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="allow", hide_input_in_errors=True, allow_inf_nan=False
    )

    iss: Text
    sub: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]
    aud: Text | list[Text]
    exp: Seconds
    iat: Seconds
    nonce: Text
    nbf: Seconds | None = None
    azp: Text | None = None
    at_hash: Text | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What an ID token has to say.

    Attributes:
        client_id: The only one it may be for.
        nonce: What it was asked for with.
        access_token: What came with it.
        begun_at_s: Before which it cannot have been made.
        now_s: The time, Unix seconds.
    """

    client_id: str
    nonce: str
    access_token: str | None
    begun_at_s: float
    now_s: float


async def read_id_token(provider: Provider, token: str, expected: Expected) -> IdTokenClaims:
    """Return what a token says.

    Raises:
        RefusedLoginError: Anything about it is not right.
        ProviderAwayError: The provider's keys cannot be had.
    """
    header = _header(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise RefusedLoginError(LoginFault.ALGORITHM)
    if kid is not None and not isinstance(kid, str):
        raise RefusedLoginError(LoginFault.MALFORMED)
    key = await provider.find_key(kid, algorithm)
    if key is None:
        raise RefusedLoginError(LoginFault.UNKNOWN_KEY)
    try:
        payload: bytes = jwt.PyJWS(algorithms=[algorithm]).decode(token, key, algorithms=[algorithm])
    except jwt.PyJWTError as error:
        is_signature = isinstance(error, jwt.InvalidSignatureError)
        raise RefusedLoginError(LoginFault.SIGNATURE if is_signature else LoginFault.MALFORMED) from error
    try:
        claims = IdTokenClaims.model_validate_json(payload)
    except ValidationError as error:
        raise RefusedLoginError(LoginFault.CLAIMS) from error
    _check_claims(claims, provider.issuer, expected)
    if expected.access_token is not None and claims.at_hash is not None:
        _check_access_token(claims.at_hash, expected.access_token, algorithm)
    return claims


def _header(token: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_CHARS or not token.isascii() or token.count(".") != 2:
        raise RefusedLoginError(LoginFault.MALFORMED)
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise RefusedLoginError(LoginFault.MALFORMED) from error
    # No extension is understood, and a token of another type is for something else.
    if "crit" in header or str(header.get("typ", "JWT")).upper() != "JWT":
        raise RefusedLoginError(LoginFault.MALFORMED)
    return header


def _check_claims(claims: IdTokenClaims, issuer: str, expected: Expected) -> None:
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    earliest_s, latest_s = expected.now_s - LEEWAY_S, expected.now_s + LEEWAY_S
    # In this order, and the first that is wrong counts.
    checks = (
        (claims.iss == issuer, LoginFault.ISSUER),
        # A token that is for others as well might have been given to one of them.
        (audiences == [expected.client_id], LoginFault.AUDIENCE),
        (claims.azp in {None, expected.client_id}, LoginFault.AUTHORISED_PARTY),
        (claims.exp > earliest_s, LoginFault.EXPIRED),
        (claims.iat <= latest_s and (claims.nbf or 0) <= latest_s, LoginFault.NOT_YET_VALID),
        (claims.iat >= expected.begun_at_s - LEEWAY_S, LoginFault.TOO_OLD),
        (hmac.compare_digest(claims.nonce.encode(), expected.nonce.encode()), LoginFault.NONCE),
    )
    fault = next((fault for is_right, fault in checks if not is_right), None)
    if fault is not None:
        raise RefusedLoginError(fault)


def _check_access_token(at_hash: str, access_token: str, algorithm: str) -> None:
    digest = _HASHES[algorithm[-3:]](access_token.encode()).digest()
    right = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not hmac.compare_digest(at_hash.encode(), right):
        raise RefusedLoginError(LoginFault.ACCESS_TOKEN_HASH)
