"""Collections, documents, their texts and passages, and what is still to be removed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_documents()
    _create_passages()
    _create_upkeep()


def _create_documents() -> None:
    op.create_table(
        "rag_collections",
        sa.Column("owner_id", sa.String(200), primary_key=True),
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rag_documents",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("owner_id", sa.String(200), nullable=False),
        sa.Column("collection", sa.String(100), nullable=False),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("title", sa.String(300)),
        sa.Column("content_type", sa.String(200), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("pages", sa.Integer),
        sa.Column("chunks", sa.Integer, nullable=False),
        sa.Column("chunks_done", sa.Integer, nullable=False),
        sa.Column("object_key", sa.String(500)),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("wanted_at_ms", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id", "collection"], ["rag_collections.owner_id", "rag_collections.name"]
        ),
        sa.UniqueConstraint("owner_id", "collection", "sha256", name="uq_rag_documents_content"),
    )
    op.create_index("ix_rag_documents_newest", "rag_documents", ["owner_id", "created_at_ms", "id"])
    op.create_index("ix_rag_documents_name", "rag_documents", ["owner_id", "collection", "name"])
    op.create_index("ix_rag_documents_status", "rag_documents", ["owner_id", "status"])


def _create_passages() -> None:
    op.create_table(
        "rag_document_texts",
        sa.Column(
            "document_id",
            sa.String(36),
            sa.ForeignKey("rag_documents.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("owner_id", sa.String(200), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("page_starts", sa.JSON, nullable=False),
    )
    op.create_table(
        "rag_chunks",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("owner_id", sa.String(200), nullable=False),
        sa.Column(
            "document_id",
            sa.String(36),
            sa.ForeignKey("rag_documents.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("start_offset", sa.Integer, nullable=False),
        sa.Column("end_offset", sa.Integer, nullable=False),
        sa.Column("page", sa.Integer),
        sa.Column("heading", sa.Text),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("text_hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("document_id", "ordinal", name="uq_rag_chunks_ordinal"),
    )


def _create_upkeep() -> None:
    op.create_table(
        "rag_removals",
        sa.Column("document_id", sa.String(36), primary_key=True),
        sa.Column("owner_id", sa.String(200), nullable=False),
        sa.Column("object_key", sa.String(500)),
    )
    op.create_table(
        "rag_vector_spaces",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("engine", sa.String(200), nullable=False),
        sa.Column("dimensions", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    for table in (
        "rag_vector_spaces",
        "rag_removals",
        "rag_chunks",
        "rag_document_texts",
        "rag_documents",
        "rag_collections",
    ):
        op.drop_table(table)
