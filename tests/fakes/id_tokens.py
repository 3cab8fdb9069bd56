"""Keys of a provider, and ID tokens signed by them: honest ones, and ones forged on demand."""

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
}
_HASHES = {"256": "sha256", "384": "sha384", "512": "sha512", "DSA": "sha512"}


def encoded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encoded_json(value: object) -> str:
    """Return JSON as a part of a token; NaN and the like pass."""
    return encoded(json.dumps(value).encode())


def access_token_hash(access_token: str, algorithm: str) -> str:
    """Return `at_hash` (OpenID Connect Core 1.0, 3.1.3.6)."""
    digest = hashlib.new(_HASHES[algorithm[-3:]], access_token.encode()).digest()
    return encoded(digest[: len(digest) // 2])


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return an RSA key, made once: that takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def new_private_key(algorithm: str) -> PrivateKey:
    """Return a key for an algorithm of JWA."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa_key()


@dataclass
class ProviderKey:
    """A key, its name and what it signs by."""

    algorithm: str = "ES256"
    kid: str | None = field(default_factory=lambda: uuid4().hex)
    private: PrivateKey = field(default=None)  # pyright: ignore[reportAssignmentType] - made after the algorithm is known

    def __post_init__(self) -> None:
        self.private = cast("PrivateKey | None", self.private) or new_private_key(self.algorithm)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as it is published."""
        public: Any = self.private.public_key()
        writers = {"RS": RSAAlgorithm, "PS": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}
        jwk: dict[str, Any] = json.loads(writers[self.algorithm[:2]].to_jwk(public))
        return {**jwk, "use": "sig", "alg": self.algorithm} | ({"kid": self.kid} if self.kid else {})

    @property
    def public_pem(self) -> bytes:
        """The public key as confused verifiers take it for a secret."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@dataclass
class Draft:
    """An ID token before it is signed."""

    key: ProviderKey
    claims: dict[str, Any]
    access_token: str
    header: dict[str, Any] = field(default_factory=dict[str, Any])

    def signed(self, key: ProviderKey | None = None, *, algorithm: str | None = None) -> str:
        """Return the token, signed; by another key under the same name, if one is given."""
        header = {"typ": "JWT", "kid": self.key.kid, "alg": self.key.algorithm, **self.header}
        header = {name: value for name, value in header.items() if value is not None}
        signer = jwt.get_algorithm_by_name(algorithm or self.key.algorithm)
        said = f"{encoded_json(header)}.{encoded_json(self.claims)}"
        return f"{said}.{encoded(signer.sign(said.encode(), (key or self.key).private))}"

    def without(self, name: str) -> "Draft":
        """Return it without a claim."""
        del self.claims[name]
        return self

    def saying(self, **claims: Any) -> "Draft":
        """Return it with other claims."""
        self.claims |= claims
        return self

    def headed(self, **header: Any) -> "Draft":
        """Return it with another header."""
        self.header |= header
        return self

    def unsigned(self, algorithm: str = "none") -> str:
        """Return it with no signature."""
        return f"{encoded_json({'typ': 'JWT', 'alg': algorithm})}.{encoded_json(self.claims)}."

    def keyed(self, secret: bytes, algorithm: str = "HS256") -> str:
        """Return it with a signature by a secret."""
        header = {"typ": "JWT", "alg": algorithm, "kid": self.key.kid}
        said = f"{encoded_json(header)}.{encoded_json(self.claims)}"
        return f"{said}.{encoded(hmac.digest(secret, said.encode(), 'sha256'))}"

    def changed_after(self, changes: Mapping[str, Any]) -> str:
        """Return it with claims that were changed when it was signed."""
        header, _, signature = self.signed().split(".")
        return f"{header}.{encoded_json({**self.claims, **changes})}.{signature}"
