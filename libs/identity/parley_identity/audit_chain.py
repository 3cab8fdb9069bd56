"""The chain of the audit: what is hashed of a row, what is signed of the chain, and where it is broken.

A row's hash is SHA-256 over the hash of the row before, a line feed, and the row's other fields in their
order as a JSON array in ASCII without spaces. Anchors sign a row's number and hash by Ed25519.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from parley_contracts.audit import AnchorKind, AuditAnchored, AuditRow

FIRST_PREV_HASH = "0" * 64
_LINKS = frozenset({"prev_hash", "hash"})
HASHED_FIELDS = tuple(name for name in AuditRow.model_fields if name not in _LINKS)


def row_hash(prev_hash: str, row: Mapping[str, object]) -> str:
    """Return the hash of a row's fields behind a row of that hash."""
    text = json.dumps([row[name] for name in HASHED_FIELDS], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(f"{prev_hash}\n{text}".encode()).hexdigest()


def _signed(installation: str, kind: AnchorKind, seq: int, row_hash: str, at_ms: int) -> bytes:
    return "\n".join(("parley-audit", installation, kind.value, str(seq), row_hash, str(at_ms))).encode()


@dataclass(frozen=True, slots=True)
class AnchorSigner:
    """Signs the chain of an installation."""

    installation: str
    kid: str
    key: Ed25519PrivateKey

    def signature(self, text: bytes) -> str:
        """Return the signature of a text that nothing else is signed as: it begins with what it is for."""
        return base64.urlsafe_b64encode(self.key.sign(text)).decode().rstrip("=")

    def sign(self, kind: AnchorKind, seq: int, row_hash: str, at_ms: int) -> AuditAnchored:
        """Return the signature of a row's hash."""
        return AuditAnchored(
            installation=self.installation,
            kind=kind,
            seq=seq,
            hash=row_hash,
            at_ms=at_ms,
            kid=self.kid,
            signature=self.signature(_signed(self.installation, kind, seq, row_hash, at_ms)),
        )


def is_signed(anchor: AuditAnchored, installation: str, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Return whether one of the keys has signed an anchor for this installation."""
    text = _signed(installation, anchor.kind, anchor.seq, anchor.hash, anchor.at_ms)
    return anchor.installation == installation and has_signed(keys.get(anchor.kid), anchor.signature, text)


def has_signed(key: Ed25519PublicKey | None, signature: str, text: bytes) -> bool:
    """Return whether a key, if there is one, has signed a text."""
    if key is None:
        return False
    try:
        raw = base64.b64decode(signature + "=" * (-len(signature) % 4), altchars=b"-_", validate=True)
        key.verify(raw, text)
    except (binascii.Error, InvalidSignature):
        return False
    return True


class ChainFault(StrEnum):
    """How a chain is broken."""

    CHANGED = "changed"
    """What a row says is not what was hashed."""
    UNLINKED = "unlinked"
    """A row does not follow the one before it: one was removed, added or moved."""
    CUT = "cut"
    """The end is not there: it was known to go on."""
    NOT_ANCHORED = "not_anchored"
    """A row is another than the one that was signed: the chain was written anew."""
    BAD_SIGNATURE = "bad_signature"
    """An anchor, or the checkpoint before the first row, is not signed by the key."""
    OTHER_KEY = "other_key"
    """The bus keeps what another key signed, or the key of an installation of another name."""
    NO_KEY = "no_key"
    """The key is not there, and something stands that it has signed."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain is broken first."""

    seq: int
    fault: ChainFault


class ChainCheck:
    """Walks along a chain, row by row, looking at anchors as they are passed; `broken` is the first fault."""

    def __init__(
        self,
        installation: str,
        keys: Mapping[str, Ed25519PublicKey],
        *,
        after_seq: int = 0,
        after_hash: str = FIRST_PREV_HASH,
    ) -> None:
        self.seq = after_seq
        self.hash = after_hash
        self.rows = 0
        self.anchors = 0
        self.broken: Break | None = None
        self._installation = installation
        self._keys = keys
        self._expected = dict[int, AuditAnchored]()

    def expect(self, anchor: AuditAnchored) -> None:
        """Have the row that an anchor names be the one that was signed, if it is still to come."""
        if not is_signed(anchor, self._installation, self._keys):
            self.fail(anchor.seq, ChainFault.BAD_SIGNATURE)
        elif anchor.seq == self.seq:
            self._compare(anchor)
        elif anchor.seq > self.seq:
            earlier = self._expected.setdefault(anchor.seq, anchor)
            if earlier.hash != anchor.hash:
                self.fail(anchor.seq, ChainFault.NOT_ANCHORED)

    def begin(self, checkpoint: AuditAnchored) -> None:
        """Begin behind what was removed when its time was over."""
        if checkpoint.kind is not AnchorKind.CHECKPOINT or not is_signed(
            checkpoint, self._installation, self._keys
        ):
            self.fail(checkpoint.seq + 1, ChainFault.BAD_SIGNATURE)
        self.seq, self.hash = checkpoint.seq, checkpoint.hash

    def take(self, row: AuditRow) -> None:
        """Look at the next row."""
        if row.seq != self.seq + 1 or row.prev_hash != self.hash:
            self.fail(min(row.seq, self.seq + 1), ChainFault.UNLINKED)
        if row_hash(row.prev_hash, vars(row)) != row.hash:
            self.fail(row.seq, ChainFault.CHANGED)
        self.seq, self.hash, self.rows = row.seq, row.hash, self.rows + 1
        if anchor := self._expected.pop(row.seq, None):
            self._compare(anchor)

    def end(self, head_seq: int, head_hash: str) -> None:
        """Say where the chain ends, as is known from elsewhere; what is expected behind it was cut off."""
        if head_seq != self.seq or self._expected:
            self.fail(min(head_seq, self.seq) + 1, ChainFault.CUT)
        elif head_hash != self.hash:
            self.fail(self.seq, ChainFault.UNLINKED)

    def _compare(self, anchor: AuditAnchored) -> None:
        self.anchors += 1
        if anchor.hash != self.hash:
            self.fail(anchor.seq, ChainFault.NOT_ANCHORED)

    def fail(self, seq: int, fault: ChainFault) -> None:
        """Note a fault; the one that stands first in the chain is kept."""
        if self.broken is None or seq < self.broken.seq:
            self.broken = Break(seq, fault)
