"""Rows of the audit are not replaced, and its head says how far the stream was looked at.

SQLite runs no DELETE trigger for what `INSERT OR REPLACE` removes. On PostgreSQL `ON CONFLICT DO UPDATE` and
`MERGE` are updates, which the trigger of 0003 refuses.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0006"
branch_labels = None
depends_on = None

# A new row that conflicts with one that stands would remove it: by its number, its event, or the row id,
# which is SQLite's own and -1 where none was given.
_STANDS = " OR ".join(
    f"EXISTS (SELECT 1 FROM accounts_audit_log WHERE {condition})"
    for condition in ("seq = NEW.seq", "event_id = NEW.event_id", "NEW.rowid > 0 AND rowid = NEW.rowid")
)


def upgrade() -> None:
    copied = sa.Column("copied_seq", sa.BigInteger, nullable=False, server_default="-1")
    op.add_column("accounts_audit_head", copied)
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER accounts_audit_log_insert BEFORE INSERT ON accounts_audit_log "
            f"WHEN {_STANDS} BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER accounts_audit_log_insert")
    op.drop_column("accounts_audit_head", "copied_seq")
