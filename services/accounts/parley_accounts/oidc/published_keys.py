"""The keys that a provider signs by (RFC 7517), and which of them a token may have been signed by."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from parley_accounts.oidc.faults import ProviderAwayError

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

MAX_KEYS = 64
_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 8192
_RSA = ("RSA", None)

ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    "RS256": _RSA,
    "RS384": _RSA,
    "RS512": _RSA,
    "PS256": _RSA,
    "PS384": _RSA,
    "PS512": _RSA,
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""What may have signed an ID token, and the type and curve of its key: asymmetric algorithms alone."""

_READERS = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that a provider publishes.

    Attributes:
        kid: Its name, where it has one.
        kind: Its type and curve.
        algorithm: The only one it is for, where that is said.
        public_key: The key.
    """

    kid: str | None
    kind: tuple[str, str | None]
    algorithm: str | None
    public_key: PublicKey


def read_keys(body: Mapping[str, Any]) -> tuple[SigningKey, ...]:
    """Return the keys of a JWK set that may verify; ProviderAwayError for what is none.

    What is not understood is left out, as RFC 7517 says: keys for encryption, secrets, unknown types.
    """
    listed = body.get("keys")
    if not isinstance(listed, list):
        raise ProviderAwayError("the JWK set has no keys")
    keys = cast("list[Any]", listed)
    if len(keys) > MAX_KEYS:
        raise ProviderAwayError(f"the JWK set has more than {MAX_KEYS} keys")
    return tuple(key for one in keys if isinstance(one, dict) and (key := _read(cast("dict[str, Any]", one))))


def _read(jwk: dict[str, Any]) -> SigningKey | None:
    kty, crv = jwk.get("kty"), jwk.get("crv")
    reader = _READERS.get(kty) if isinstance(kty, str) else None
    operations = jwk.get("key_ops", ["verify"])
    is_for_signatures = jwk.get("use", "sig") == "sig" and isinstance(operations, list)
    if reader is None or not is_for_signatures or "verify" not in operations or "d" in jwk:
        return None
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    key = None
    with suppress(jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError):
        key = reader.from_jwk(jwk)
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        return None
    if isinstance(key, RSAPublicKey) and not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
        return None
    return SigningKey(
        kid if isinstance(kid, str) else None,
        (str(kty), crv if isinstance(crv, str) and kty != "RSA" else None),
        algorithm if isinstance(algorithm, str) else None,
        key,
    )


def find_key(keys: tuple[SigningKey, ...], kid: str | None, algorithm: str) -> PublicKey | None:
    """Return the one key that a token of this header may be signed by; None for none, and for several."""
    kind = ALGORITHMS[algorithm]
    found = [
        key.public_key
        for key in keys
        if key.kind == kind and key.algorithm in {None, algorithm} and (kid is None or key.kid == kid)
    ]
    return found[0] if len(found) == 1 else None
