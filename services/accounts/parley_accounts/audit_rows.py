"""The tables of the audit: one chain of rows, its head, and what was signed of it.

Triggers refuse to change a row, and to delete one that the head does not name as past its time.
"""

from parley_storage import StorableText
from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table

HEAD = "head"


def audit_tables(metadata: MetaData) -> tuple[Table, Table, Table, Table]:
    """Return the log, its head, its anchors and the keys that sign them."""
    log = Table(
        "accounts_audit_log",
        metadata,
        Column("seq", BigInteger, primary_key=True, autoincrement=False),
        Column("event_id", StorableText, nullable=False),
        Column("at_ms", BigInteger, nullable=False),
        Column("recorded_at_ms", BigInteger, nullable=False),
        *(Column(name, StorableText, nullable=False) for name in TEXTS),
        Index("accounts_audit_log_event", "event_id", unique=True),
        Index("accounts_audit_log_actor", "actor_id", "seq"),
        Index("accounts_audit_log_object", "object_id", "seq"),
        Index("accounts_audit_log_time", "at_ms", "seq"),
    )
    head = Table(
        "accounts_audit_head",
        metadata,
        Column("name", StorableText, primary_key=True),
        Column("seq", BigInteger, nullable=False),
        Column("hash", StorableText, nullable=False),
        Column("recorded_at_ms", BigInteger, nullable=False),
        # Up to which row may be deleted: none, but while retention does it.
        Column("removable_seq", BigInteger, nullable=False),
        # Up to which message of the stream each was copied or told of; -1 while nobody has looked.
        Column("copied_seq", BigInteger, nullable=False, server_default="-1"),
        # When that stream was made: the numbers of another mean nothing. 0 while nobody has looked.
        Column("stream_created_ms", BigInteger, nullable=False, server_default="0"),
    )
    anchors = Table(
        "accounts_audit_anchors",
        metadata,
        Column("kind", StorableText, primary_key=True),
        Column("seq", BigInteger, primary_key=True, autoincrement=False),
        *(
            Column(name, StorableText, nullable=False)
            for name in ("installation", "hash", "kid", "signature")
        ),
        Column("at_ms", BigInteger, nullable=False),
    )
    keys = Table(
        "accounts_audit_keys",
        metadata,
        Column("kid", StorableText, primary_key=True),
        # Of one place there is one key: the first instance that starts makes it.
        Column("place", Integer, nullable=False),
        Column("public_key", StorableText, nullable=False),
        # Sealed by the key-encryption key.
        Column("private_key", StorableText, nullable=False),
        Column("created_at_ms", BigInteger, nullable=False),
        Index("accounts_audit_keys_place", "place", unique=True),
    )
    return log, head, anchors, keys


TEXTS = (
    "writer",
    "action",
    "outcome",
    "actor_kind",
    "actor_id",
    "object_kind",
    "object_id",
    "address",
    "agent",
    "credential",
    "request_id",
    "details",
    "prev_hash",
    "hash",
)
