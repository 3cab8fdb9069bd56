"""The language of collections, what documents say about themselves, and how rare each word is."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "rag_collections", sa.Column("language", sa.String(30), nullable=False, server_default="english")
    )
    for column in (
        sa.Column("author", sa.String(300)),
        sa.Column("source_url", sa.Text),
        sa.Column("language", sa.String(30)),
        sa.Column("written_at_ms", sa.BigInteger),
        sa.Column("modified_at_ms", sa.BigInteger),
        sa.Column("archive_id", sa.String(36)),
    ):
        op.add_column("rag_documents", column)
    op.create_index("ix_rag_documents_archive", "rag_documents", ["archive_id"])
    op.create_table(
        "rag_terms",
        sa.Column("owner_id", sa.String(200), primary_key=True),
        sa.Column("term", sa.BigInteger, primary_key=True),
        sa.Column("passages", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("rag_terms")
    op.drop_index("ix_rag_documents_archive", "rag_documents")
    for column in ("archive_id", "modified_at_ms", "written_at_ms", "language", "source_url", "author"):
        op.drop_column("rag_documents", column)
    op.drop_column("rag_collections", "language")
