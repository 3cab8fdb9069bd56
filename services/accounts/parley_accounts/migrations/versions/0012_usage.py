"""What turns have cost: which are counted, what was spent by whom on which day, and sums for quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0004"
branch_labels = None
depends_on = None


def _counts(*names: str) -> "list[sa.Column[int]]":
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _keys(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text, primary_key=True) for name in names]


def upgrade() -> None:
    op.create_table("accounts_usage_turns", *_keys("name"), *_counts("recorded_at_ms"))
    op.create_index("accounts_usage_turns_oldest", "accounts_usage_turns", ["recorded_at_ms"])
    op.create_table(
        "accounts_usage",
        *_keys("day", "user_id", "bot_id", "model"),
        *_counts("turns", "prompt_tokens", "completion_tokens", "cost_micros"),
    )
    op.create_index("accounts_usage_of_user", "accounts_usage", ["user_id", "day"])
    op.create_table(
        "accounts_usage_totals",
        *_keys("scope", "period"),
        *_counts("turns", "tokens", "micros", "version"),
    )


def downgrade() -> None:
    op.drop_table("accounts_usage_totals")
    op.drop_table("accounts_usage")
    op.drop_table("accounts_usage_turns")
