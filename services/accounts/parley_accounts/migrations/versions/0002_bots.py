"""Bots with their versions, and their keys at providers of models."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _bot() -> "sa.Column[str]":
    return sa.Column(
        "bot_id", sa.Text, sa.ForeignKey("accounts_bots.id", ondelete="CASCADE"), primary_key=True
    )


def upgrade() -> None:
    op.create_table(
        "accounts_bots",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column(
            "owner_id", sa.Text, sa.ForeignKey("accounts_users.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_bots_of_owner", "accounts_bots", ["owner_id", "created_at_ms", "id"])
    op.create_table(
        "accounts_bot_versions",
        _bot(),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("changed", sa.Text, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
        sa.Column("restored_from", sa.Integer),
    )
    op.create_table(
        "accounts_provider_keys",
        _bot(),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("sealed_key", sa.Text, nullable=False),
        sa.Column("last_four", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_provider_keys_id", "accounts_provider_keys", ["id"], unique=True)


def downgrade() -> None:
    op.drop_table("accounts_provider_keys")
    op.drop_table("accounts_bot_versions")
    op.drop_table("accounts_bots")
