"""Files that are sent with questions, with which question each was, and what of them is to be removed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memory_attachments",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("is_ready", sa.Boolean, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("memory_attachments_latest", "memory_attachments", ["owner_id", "created_at_ms", "id"])
    op.create_index("memory_attachments_expiring", "memory_attachments", ["expires_at_ms"])
    op.create_table(
        "memory_message_attachments",
        sa.Column("turn_id", sa.Text, primary_key=True),
        sa.Column(
            "attachment_id",
            sa.Text,
            sa.ForeignKey("memory_attachments.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
    )
    op.create_index("memory_message_attachments_of", "memory_message_attachments", ["attachment_id"])
    op.create_index("memory_message_attachments_in", "memory_message_attachments", ["conversation_id"])
    op.create_table(
        "memory_removals",
        sa.Column("object_id", sa.Text, primary_key=True),
        sa.Column("owner_id", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("memory_removals")
    op.drop_table("memory_message_attachments")
    op.drop_table("memory_attachments")
