"""Verdicts on citations, and what searches found, a row a day."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTS = (
    "searches",
    "empty",
    "answered",
    "best_below_25",
    "best_below_50",
    "best_below_75",
    "best_above",
    "given",
    "cited",
)


def upgrade() -> None:
    op.create_table(
        "rag_feedback",
        sa.Column("owner_id", sa.String(200), primary_key=True),
        sa.Column("turn_id", sa.String(128), primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("document_id", sa.String(200), nullable=False),
        sa.Column("collection", sa.String(100)),
        sa.Column("start_offset", sa.BigInteger, nullable=False),
        sa.Column("end_offset", sa.BigInteger, nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_rag_feedback_newest", "rag_feedback", ["owner_id", "at_ms"])
    op.create_table(
        "rag_search_days",
        sa.Column("owner_id", sa.String(200), primary_key=True),
        sa.Column("collection", sa.String(100), primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
    )
    op.create_index("ix_rag_search_days_day", "rag_search_days", ["day"])


def downgrade() -> None:
    op.drop_table("rag_search_days")
    op.drop_table("rag_feedback")
