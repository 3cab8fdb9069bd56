"""Groups: who is in them, what they add to a role, and the bots that they may ask; bots that are blocked."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0002"
branch_labels = None
depends_on = None


def _key(name: str, of: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, sa.ForeignKey(f"{of}.id", ondelete="CASCADE"), primary_key=True)


def upgrade() -> None:
    op.add_column("accounts_bots", sa.Column("blocked_at_ms", sa.BigInteger))
    op.create_table(
        "accounts_groups",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("folded_name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("permissions", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_groups_name", "accounts_groups", ["folded_name"], unique=True)
    op.create_table(
        "accounts_group_members",
        _key("group_id", "accounts_groups"),
        _key("user_id", "accounts_users"),
        sa.Column("added_by", sa.Text, nullable=False),
        sa.Column("added_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_group_members_of_user", "accounts_group_members", ["user_id"])
    op.create_table(
        "accounts_group_bots",
        _key("group_id", "accounts_groups"),
        _key("bot_id", "accounts_bots"),
        sa.Column("shared_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_group_bots_of_bot", "accounts_group_bots", ["bot_id"])


def downgrade() -> None:
    op.drop_table("accounts_group_bots")
    op.drop_table("accounts_group_members")
    op.drop_table("accounts_groups")
    op.drop_column("accounts_bots", "blocked_at_ms")
