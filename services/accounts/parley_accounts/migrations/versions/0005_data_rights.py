"""Jobs that export and erase all that is kept of a user."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts_data_jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger),
        sa.Column("ended_at_ms", sa.BigInteger),
        sa.Column("deadline_at_ms", sa.BigInteger, nullable=False),
        sa.Column("due_at_ms", sa.BigInteger),
        sa.Column("lease_id", sa.Text),
        sa.Column("lease_until_ms", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("waits_for", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("steps", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("object_key", sa.Text),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("expires_at_ms", sa.BigInteger),
    )
    op.create_index("accounts_data_jobs_of_user", "accounts_data_jobs", ["user_id", "asked_at_ms", "id"])
    op.create_index("accounts_data_jobs_due", "accounts_data_jobs", ["due_at_ms"])
    op.create_index("accounts_data_jobs_expiry", "accounts_data_jobs", ["expires_at_ms"])


def downgrade() -> None:
    op.drop_table("accounts_data_jobs")
