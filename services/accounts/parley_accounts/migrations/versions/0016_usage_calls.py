"""What calls of models took: cached tokens, time to the first piece, and how fast answers were written."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None

_COUNTS = ("cached_tokens", "calls", "first_token_ms", "writing_ms", "written_tokens")


def upgrade() -> None:
    for name in _COUNTS:
        op.add_column("accounts_usage", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    for name in reversed(_COUNTS):
        op.drop_column("accounts_usage", name)
