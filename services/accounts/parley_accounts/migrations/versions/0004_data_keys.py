"""Keys that uploaded originals are sealed under."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts_data_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("seals_for", sa.Text),
        sa.Column("sealed_key", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("retired_at_ms", sa.BigInteger),
    )
    op.create_index("accounts_data_keys_seals_for", "accounts_data_keys", ["seals_for"], unique=True)


def downgrade() -> None:
    op.drop_table("accounts_data_keys")
