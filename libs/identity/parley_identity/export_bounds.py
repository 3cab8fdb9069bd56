"""From which row to which an export of the audit reaches, signed: rows that are missing at an end show."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from parley_contracts.audit_requests import ExportBounds

from parley_identity.audit_chain import AnchorSigner, has_signed


@dataclass(frozen=True, slots=True)
class Link:
    """A row, by its number and its hash."""

    seq: int
    hash: str


def sign_bounds(signer: AnchorSigner, before: Link, last: Link, head_seq: int, at_ms: int) -> ExportBounds:
    """Return the bounds of the rows behind `before` and up to `last`."""
    unsigned = ExportBounds(
        first_seq=before.seq + 1,
        prev_hash=before.hash,
        last_seq=last.seq,
        last_hash=last.hash,
        head_seq=head_seq,
        at_ms=at_ms,
        kid=signer.kid,
        signature="",
    )
    signature = signer.signature(_signed(signer.installation, unsigned))
    return unsigned.model_copy(update={"signature": signature})


def are_signed(bounds: ExportBounds, installation: str, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Return whether one of the keys has signed bounds for this installation."""
    return has_signed(keys.get(bounds.kid), bounds.signature, _signed(installation, bounds))


def _signed(installation: str, bounds: ExportBounds) -> bytes:
    numbers = (bounds.first_seq, bounds.last_seq, bounds.head_seq, bounds.at_ms)
    words = ("parley-audit-export", installation, bounds.prev_hash, bounds.last_hash, *map(str, numbers))
    return "\n".join(words).encode()
