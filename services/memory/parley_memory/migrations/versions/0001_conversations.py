"""Conversations, their messages, and the outbox of events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memory_conversations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("is_renamed", sa.Boolean, nullable=False),
        sa.Column("turns", sa.Integer, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger, nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger),
    )
    op.create_index(
        "memory_conversations_latest", "memory_conversations", ["owner_id", "updated_at_ms", "id"]
    )
    op.create_table(
        "memory_messages",
        sa.Column("turn_id", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column(
            "conversation_id",
            sa.Text,
            sa.ForeignKey("memory_conversations.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("client_turn_id", sa.Text, nullable=False),
        sa.Column("turn_at_ms", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("citations", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "memory_messages_in_order", "memory_messages", ["conversation_id", "turn_at_ms", "turn_id"]
    )
    op.create_table(
        "memory_outbox",
        sa.Column("turn_id", sa.Text, primary_key=True),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("stored_at_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("memory_outbox")
    op.drop_table("memory_messages")
    op.drop_table("memory_conversations")
