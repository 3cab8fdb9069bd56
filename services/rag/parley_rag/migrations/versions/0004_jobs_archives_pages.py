"""Which documents a job is due for, what came in archives, what was recognised, and what passages lean on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("job_at_ms", sa.BigInteger),
        sa.Column("is_reread", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("members", sa.Integer),
        sa.Column("members_done", sa.Integer),
    ):
        op.add_column("rag_documents", column)
    op.add_column("rag_chunks", sa.Column("context", sa.Text))
    op.execute("UPDATE rag_documents SET job_at_ms = wanted_at_ms WHERE status IN ('queued', 'ingesting')")
    op.create_index("ix_rag_documents_jobs", "rag_documents", ["job_at_ms"])
    op.create_table(
        "rag_archive_members",
        sa.Column(
            "archive_id",
            sa.String(36),
            sa.ForeignKey("rag_documents.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("ordinal", sa.Integer, primary_key=True),
        sa.Column("owner_id", sa.String(200), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("document_id", sa.String(36), nullable=False),
    )
    op.create_index("ix_rag_archive_members_document", "rag_archive_members", ["document_id"])
    op.create_table(
        "rag_page_texts",
        sa.Column(
            "document_id",
            sa.String(36),
            sa.ForeignKey("rag_documents.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("page", sa.Integer, primary_key=True),
        sa.Column("owner_id", sa.String(200), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("rag_page_texts")
    op.drop_table("rag_archive_members")
    op.drop_column("rag_chunks", "context")
    op.drop_index("ix_rag_documents_jobs", "rag_documents")
    for column in ("members_done", "members", "is_reread", "job_at_ms"):
        op.drop_column("rag_documents", column)
