"""People whom a provider of OpenID Connect knows, and logins by it that are used up."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts_oidc_identities",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, sa.ForeignKey("accounts_users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("last_login_at_ms", sa.BigInteger),
    )
    op.create_index(
        "accounts_oidc_identities_subject", "accounts_oidc_identities", ["issuer", "subject"], unique=True
    )
    op.create_index("accounts_oidc_identities_of_user", "accounts_oidc_identities", ["user_id"])
    op.create_table(
        "accounts_oidc_attempts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_oidc_attempts_expiry", "accounts_oidc_attempts", ["expires_at_ms"])
    op.add_column("accounts_sessions", sa.Column("identity_id", sa.Text))


def downgrade() -> None:
    op.drop_column("accounts_sessions", "identity_id")
    op.drop_table("accounts_oidc_attempts")
    op.drop_table("accounts_oidc_identities")
