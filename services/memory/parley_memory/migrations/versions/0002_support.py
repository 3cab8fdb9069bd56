"""What an answer rests on."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("memory_messages", sa.Column("support", sa.Text))


def downgrade() -> None:
    op.drop_column("memory_messages", "support")
