"""Data keys on their way: sealed to a key pair that is made for one question and forgotten with it.

X25519 (RFC 7748), HKDF-SHA256 over both public keys, AES-256-GCM.
"""

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from parley_contracts.data_keys import ToldDataKey

from parley_envelope.envelope import KEY_BYTES, SealError
from parley_envelope.segments import DataKey

_NONCE_BYTES = 12


def _cipher(private: X25519PrivateKey, theirs: bytes, asker: bytes, teller: bytes) -> AESGCM:
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as error:  # of another length, or a point that makes every secret the same
        raise SealError("a public key cannot be used") from error
    made = HKDF(SHA256(), KEY_BYTES, None, b"parley data keys v1" + asker + teller)
    return AESGCM(made.derive(shared))


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text)
    except ValueError as error:
        raise SealError("a key is of no known form") from error


class KeyQuestion:
    """One question: its public key goes with it, and only it opens the answer."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()
        self._public = self._private.public_key().public_bytes_raw()

    @property
    def public_key(self) -> str:
        """What keys are to be sealed to: base64url."""
        return base64.urlsafe_b64encode(self._public).decode()

    def open(self, told: ToldDataKey) -> DataKey:
        """Return a key that was told; SealError when it was told to somebody else, or changed."""
        teller, sealed = _decoded(told.public_key), _decoded(told.sealed)
        cipher = _cipher(self._private, teller, self._public, teller)
        try:
            secret = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], told.id.encode())
            return DataKey(told.id, secret)
        except (InvalidTag, ValueError) as error:
            raise SealError("a data key was changed on its way") from error


def tell_key(key: DataKey, to: str) -> ToldDataKey:
    """Return a data key sealed to a question's public key; SealError when that is none."""
    asker = _decoded(to)
    private = X25519PrivateKey.generate()
    teller = private.public_key().public_bytes_raw()
    nonce = os.urandom(_NONCE_BYTES)
    sealed = nonce + _cipher(private, asker, asker, teller).encrypt(nonce, key.secret, key.id.encode())
    public_key = base64.urlsafe_b64encode(teller).decode()
    return ToldDataKey(id=key.id, public_key=public_key, sealed=base64.urlsafe_b64encode(sealed).decode())
