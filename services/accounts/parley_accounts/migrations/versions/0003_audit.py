"""The audit: one chain of rows that nothing changes, its head, its anchors and the key that signs them."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0007"
branch_labels = None
depends_on = None

_TEXTS = (
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
_REMOVABLE = "(SELECT removable_seq FROM accounts_audit_head WHERE name = 'head')"


def _append_only(dialect: str) -> Iterator[str]:
    """Return the statements by which a database refuses what would change the log."""
    if dialect == "sqlite":
        yield (
            "CREATE TRIGGER accounts_audit_log_update BEFORE UPDATE ON accounts_audit_log "
            "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
        )
        yield (
            "CREATE TRIGGER accounts_audit_log_delete BEFORE DELETE ON accounts_audit_log "
            f"WHEN OLD.seq > coalesce({_REMOVABLE}, 0) "
            "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
        )
        return
    yield (
        "CREATE FUNCTION accounts_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' THEN IF OLD.seq <= coalesce({_REMOVABLE}, 0) THEN RETURN OLD; END IF; END IF; "
        "RAISE EXCEPTION 'the audit is append-only'; END $$"
    )
    yield (
        "CREATE TRIGGER accounts_audit_log_rows BEFORE UPDATE OR DELETE ON accounts_audit_log "
        "FOR EACH ROW EXECUTE FUNCTION accounts_audit_refuse()"
    )
    yield (
        "CREATE TRIGGER accounts_audit_log_all BEFORE TRUNCATE ON accounts_audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION accounts_audit_refuse()"
    )


def _not_append_only(dialect: str) -> Iterator[str]:
    """Return the statements that take it back."""
    if dialect == "sqlite":
        yield "DROP TRIGGER accounts_audit_log_update"
        yield "DROP TRIGGER accounts_audit_log_delete"
        return
    yield "DROP TRIGGER accounts_audit_log_rows ON accounts_audit_log"
    yield "DROP TRIGGER accounts_audit_log_all ON accounts_audit_log"
    yield "DROP FUNCTION accounts_audit_refuse()"


def upgrade() -> None:
    op.create_table(
        "accounts_audit_log",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
    )
    op.create_index("accounts_audit_log_event", "accounts_audit_log", ["event_id"], unique=True)
    op.create_index("accounts_audit_log_actor", "accounts_audit_log", ["actor_id", "seq"])
    op.create_index("accounts_audit_log_object", "accounts_audit_log", ["object_id", "seq"])
    op.create_index("accounts_audit_log_time", "accounts_audit_log", ["at_ms", "seq"])
    op.create_table(
        "accounts_audit_head",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger, nullable=False),
        sa.Column("removable_seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "accounts_audit_anchors",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("installation", "hash", "kid", "signature")),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "accounts_audit_keys",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("private_key", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_audit_keys_place", "accounts_audit_keys", ["place"], unique=True)
    for statement in _append_only(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    for statement in _not_append_only(op.get_bind().dialect.name):
        op.execute(statement)
    for name in ("log", "head", "anchors", "keys"):
        op.drop_table(f"accounts_audit_{name}")
