"""How a document's original is stored: those from before came as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    form = sa.Column("original_form", sa.String(10), nullable=False, server_default="plain")
    op.add_column("rag_documents", form)
    op.create_index("ix_rag_documents_form", "rag_documents", ["original_form"])


def downgrade() -> None:
    op.drop_index("ix_rag_documents_form", "rag_documents")
    op.drop_column("rag_documents", "original_form")
