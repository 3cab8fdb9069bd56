"""Users, and what they enter by; keys that sign; what is refused; events that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _user(name: str, *, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, sa.ForeignKey("accounts_users.id", ondelete="CASCADE"), nullable=nullable)


def _make_users() -> None:
    op.create_table(
        "accounts_installation",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "accounts_users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("last_login_at_ms", sa.BigInteger),
    )
    op.create_index("accounts_users_name", "accounts_users", ["name"], unique=True)
    op.create_index("accounts_users_email", "accounts_users", ["email"], unique=True)
    op.create_table(
        "accounts_api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        _user("user_id"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key_hash", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger),
        sa.Column("last_used_at_ms", sa.BigInteger),
        sa.Column("revoked_at_ms", sa.BigInteger),
    )
    op.create_index("accounts_api_keys_of_user", "accounts_api_keys", ["user_id", "created_at_ms"])
    op.create_table(
        "accounts_links",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("token_hash", sa.Text, nullable=False),
        sa.Column("role", sa.Text),
        sa.Column("email", sa.Text),
        _user("user_id", nullable=True),
        _user("created_by"),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_links_token", "accounts_links", ["token_hash"], unique=True)
    op.create_index("accounts_links_newest", "accounts_links", ["kind", "created_at_ms"])


def _make_sessions() -> None:
    op.create_table(
        "accounts_sessions",
        sa.Column("id", sa.Text, primary_key=True),
        _user("user_id"),
        sa.Column("key_id", sa.Text),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("last_used_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger),
    )
    op.create_index("accounts_sessions_of_user", "accounts_sessions", ["user_id", "last_used_at_ms"])
    op.create_index("accounts_sessions_expiry", "accounts_sessions", ["expires_at_ms"])
    op.create_table(
        "accounts_refresh_tokens",
        sa.Column("token_hash", sa.Text, primary_key=True),
        sa.Column(
            "session_id", sa.Text, sa.ForeignKey("accounts_sessions.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("used_at_ms", sa.BigInteger),
        sa.Column("successor", sa.Text),
    )
    op.create_index("accounts_refresh_tokens_of_session", "accounts_refresh_tokens", ["session_id"])
    op.create_index("accounts_refresh_tokens_use", "accounts_refresh_tokens", ["used_at_ms"])


def _make_the_rest() -> None:
    op.create_table(
        "accounts_signing_keys",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("place", sa.Text),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("private_key", sa.Text),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("published_until_ms", sa.BigInteger),
    )
    op.create_index("accounts_signing_keys_place", "accounts_signing_keys", ["place"], unique=True)
    op.create_table(
        "accounts_revocations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("revoked_id", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_revocations_oldest", "accounts_revocations", ["at_ms", "id"])
    op.create_table(
        "accounts_outbox",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_outbox_oldest", "accounts_outbox", ["created_at_ms", "id"])


def upgrade() -> None:
    _make_users()
    _make_sessions()
    _make_the_rest()


def downgrade() -> None:
    op.drop_table("accounts_outbox")
    op.drop_table("accounts_revocations")
    op.drop_table("accounts_signing_keys")
    op.drop_table("accounts_refresh_tokens")
    op.drop_table("accounts_sessions")
    op.drop_table("accounts_links")
    op.drop_table("accounts_api_keys")
    op.drop_table("accounts_users")
    op.drop_table("accounts_installation")
