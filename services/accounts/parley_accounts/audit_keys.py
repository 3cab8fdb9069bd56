"""The key that signs the audit's chain: made once, sealed by the key-encryption key, never replaced.

A key that is missing where an audit stands is not made anew: who deletes it would begin a chain of his own.
"""

import logging
import secrets
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from parley_contracts.credentials import PublishedKey
from parley_identity import published
from parley_identity.audit_chain import AnchorSigner
from parley_storage import Database
from sqlalchemy import Connection, select

from parley_accounts.audit_rows import HEAD
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.installation import read_issuer
from parley_accounts.key_ring import KeyRing
from parley_accounts.tables import audit_anchors, audit_head, audit_keys, audit_log

log = logging.getLogger("parley.accounts")

_ONLY_PLACE = 1


def purpose_of(row: Any) -> str:
    """Return what the private part of a key is sealed for."""
    return f"audit key {row.kid}"


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """What signs, and by what signatures are verified.

    The public part is that of the private one and not what its column says: who writes to the database and
    has not the key-encryption key has no key that would be believed. Without a signer nothing is believed.
    """

    installation: str
    signer: AnchorSigner | None

    @property
    def published(self) -> PublishedKey | None:
        """The public part, for whoever verifies elsewhere."""
        return published(self.signer.kid, self.signer.key.public_key()) if self.signer else None

    @property
    def public(self) -> dict[str, Ed25519PublicKey]:
        """The public part by its name."""
        return {self.signer.kid: self.signer.key.public_key()} if self.signer else {}


async def prepared_keys(database: Database, ring: KeyRing, *, clock: Clock = unix_ms) -> AuditKeys:
    """Return the key, made with an empty audit; SealError when it cannot be opened."""

    def prepare(connection: Connection) -> AuditKeys:
        installation = read_issuer(connection)
        query = select(audit_keys).filter_by(place=_ONLY_PLACE)
        if (row := connection.execute(query).one_or_none()) is None:
            if _has_history(connection):
                log.critical("the key of the audit is missing: nothing is signed until it is put back")
                return AuditKeys(installation, None)
            _make(database, connection, ring, clock())
            row = connection.execute(query).one()
        raw = ring.open(row.private_key, purpose=purpose_of(row))
        key = Ed25519PrivateKey.from_private_bytes(raw)
        return AuditKeys(installation, AnchorSigner(installation, row.kid, key))

    return await database.write(prepare)


def _has_history(connection: Connection) -> bool:
    """Return whether anything stands that a key has signed, or would have."""
    kept = select(audit_head.c.seq).where(audit_head.c.name == HEAD, audit_head.c.seq > 0)
    signed, rows = select(audit_anchors.c.seq), select(audit_log.c.seq)
    return any(connection.execute(query.limit(1)).first() is not None for query in (kept, signed, rows))


def _make(database: Database, connection: Connection, ring: KeyRing, now_ms: int) -> None:
    key, kid = Ed25519PrivateKey.generate(), secrets.token_hex(8)
    row = {
        "kid": kid,
        "place": _ONLY_PLACE,
        "public_key": published(kid, key.public_key()).x,
        "private_key": ring.seal(connection, key.private_bytes_raw(), purpose=f"audit key {kid}"),
        "created_at_ms": now_ms,
    }
    into = database.insert(audit_keys).values(**row)
    connection.execute(into.on_conflict_do_nothing(index_elements=["place"]))
