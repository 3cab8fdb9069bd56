"""A file of an archive is known by its document, which has a name."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("rag_archive_members", "name")


def downgrade() -> None:
    op.add_column("rag_archive_members", sa.Column("name", sa.Text, nullable=False, server_default=""))
