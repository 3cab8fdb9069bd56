"""Content at rest in segments: AES-256-GCM in the STREAM form (Hoang, Reyhanitabar, Rogaway, Vizár: 2015).

A nonce is a prefix, the segment's number and whether it is the last, so segments that are moved, left out or
added do not open. The key of each stream is made of a data key, a random salt and the stream's name.
"""

import os
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from parley_envelope.envelope import KEY_BYTES, SealError

Name = tuple[str, ...]
"""What a stream is: its purpose, its owner, its id, its version. Under any other name it does not open."""

SEGMENT_BYTES = 64 * 1024
TAG_BYTES = 16
SEALED_SEGMENT_BYTES = SEGMENT_BYTES + TAG_BYTES
MAX_SEGMENTS = 2**32

_MAGIC = b"PLYS\x01"
_ID_BYTES = 8
_SALT_BYTES = 32
_PREFIX_BYTES = 7
HEADER_BYTES = len(_MAGIC) + _ID_BYTES + _SALT_BYTES


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that streams are sealed under.

    Attributes:
        id: 16 hex digits, which stand in front of every stream that it has sealed.
        secret: 32 bytes.
    """

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES or len(_id_bytes(self.id)) != _ID_BYTES:
            raise ValueError("a data key has an id of 16 hex digits and 32 bytes")


def _id_bytes(key_id: str) -> bytes:
    try:
        return bytes.fromhex(key_id)
    except ValueError:
        return b""


def new_data_key() -> DataKey:
    """Return a random key."""
    return DataKey(os.urandom(_ID_BYTES).hex(), os.urandom(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in front of a sealed stream."""

    key_id: str
    salt: bytes

    @classmethod
    def new(cls, key: DataKey) -> "Header":
        """Return the header of a new stream."""
        return cls(key.id, os.urandom(_SALT_BYTES))

    @classmethod
    def read(cls, raw: bytes) -> "Header":
        """Return the header that a stream begins with; SealError when it begins with none."""
        if len(raw) < HEADER_BYTES or not raw.startswith(_MAGIC):
            raise SealError("what is stored is no sealed stream")
        key_id, salt = raw[len(_MAGIC) :][:_ID_BYTES], raw[len(_MAGIC) + _ID_BYTES : HEADER_BYTES]
        return cls(key_id.hex(), salt)

    @property
    def raw(self) -> bytes:
        """Its bytes."""
        return _MAGIC + _id_bytes(self.key_id) + self.salt


class SegmentCipher:
    """Seals and opens the segments of one stream, in any order."""

    def __init__(self, header: Header, key: DataKey, name: Name) -> None:
        if key.id != header.key_id:
            raise SealError("a stream was sealed by another data key")
        # Each part with its length: ("ab", "c") is another name than ("a", "bc").
        parts = b"".join(struct.pack(">I", len(part.encode())) + part.encode() for part in name)
        made = HKDF(SHA256(), KEY_BYTES + _PREFIX_BYTES, header.salt, b"parley stream v1" + parts)
        secret = made.derive(key.secret)
        self._cipher = AESGCM(secret[:KEY_BYTES])
        self._prefix = secret[KEY_BYTES:]
        self._header = header.raw

    def _nonce(self, number: int, *, is_last: bool) -> bytes:
        if not 0 <= number < MAX_SEGMENTS:
            raise SealError("a stream has too many segments")
        return self._prefix + struct.pack(">I?", number, is_last)

    def seal(self, number: int, plain: bytes, *, is_last: bool) -> bytes:
        """Return a segment as it is stored; each number is sealed once."""
        return self._cipher.encrypt(self._nonce(number, is_last=is_last), plain, self._header)

    def open(self, number: int, sealed: bytes, *, is_last: bool) -> bytes:
        """Return what a segment holds; SealError unless it is this one, unchanged."""
        try:
            return self._cipher.decrypt(self._nonce(number, is_last=is_last), sealed, self._header)
        except InvalidTag as error:
            raise SealError("a stored stream was changed, or is another one") from error


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the segments of a stream lie, by the bytes that are stored of it.

    What is stored may have been cut or added to: the last flag of its segments tells, not this.
    """

    stored_bytes: int

    def __post_init__(self) -> None:
        if self._body_bytes < TAG_BYTES or 0 < self._rest_bytes <= TAG_BYTES < self._body_bytes:
            raise SealError("a stored stream was cut")

    @property
    def _body_bytes(self) -> int:
        return self.stored_bytes - HEADER_BYTES

    @property
    def _rest_bytes(self) -> int:
        return self._body_bytes % SEALED_SEGMENT_BYTES

    @property
    def segments(self) -> int:
        """How many there are; one, empty, where there is no content."""
        return -(-self._body_bytes // SEALED_SEGMENT_BYTES)

    @property
    def plain_bytes(self) -> int:
        """The length of the content."""
        return self._body_bytes - self.segments * TAG_BYTES

    def offset_of(self, number: int) -> int:
        """Return where a segment begins in what is stored."""
        return HEADER_BYTES + number * SEALED_SEGMENT_BYTES

    def sealed_bytes_of(self, number: int) -> int:
        """Return how long a segment is in what is stored."""
        return min(SEALED_SEGMENT_BYTES, self.stored_bytes - self.offset_of(number))


def sealed_size(plain_bytes: int) -> int:
    """Return how many bytes are stored of a content."""
    return HEADER_BYTES + plain_bytes + TAG_BYTES * max(1, -(-plain_bytes // SEGMENT_BYTES))
