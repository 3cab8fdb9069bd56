"""The audit's head says which stream was looked at, and no session outlives the API key that opened it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_EXPIRY = "SELECT k.expires_at_ms FROM accounts_api_keys AS k WHERE k.id = accounts_sessions.key_id"


def upgrade() -> None:
    created = sa.Column("stream_created_ms", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("accounts_audit_head", created)
    changed = f"UPDATE accounts_sessions SET expires_at_ms = ({_EXPIRY})"
    op.execute(f"{changed} WHERE ({_EXPIRY}) < accounts_sessions.expires_at_ms")


def downgrade() -> None:
    op.drop_column("accounts_audit_head", "stream_created_ms")
