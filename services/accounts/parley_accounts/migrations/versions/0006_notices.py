"""Notices, the ways in which users are told, webhooks and what is still to be delivered."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0012"
branch_labels = None
depends_on = None


def _of(table: str, *, is_key: bool = False, is_needed: bool = True) -> "sa.Column[str]":
    return sa.Column(
        f"{table.removesuffix('s')}_id",
        sa.Text,
        sa.ForeignKey(f"accounts_{table}.id", ondelete="CASCADE"),
        primary_key=is_key,
        nullable=not is_needed,
    )


def _text(name: str, *, is_needed: bool = True) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=not is_needed)


def _number(name: str, *, is_needed: bool = True) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=not is_needed)


def _flag(name: str) -> "sa.Column[bool]":
    return sa.Column(name, sa.Boolean, nullable=False)


def _id() -> "sa.Column[str]":
    return sa.Column("id", sa.Text, primary_key=True)


def upgrade() -> None:
    _make_notices()
    _make_webhooks()
    _make_deliveries()
    op.create_table(
        "accounts_places",
        _of("users", is_key=True),
        sa.Column("place", sa.Text, primary_key=True),
        _number("last_seen_at_ms"),
    )
    op.create_table(
        "accounts_refused_logins",
        _of("users", is_key=True),
        sa.Column("in_a_row", sa.Integer, nullable=False),
        _number("last_at_ms"),
    )
    op.create_table("accounts_forgotten_passwords", _id(), _text("login"), _number("asked_at_ms"))
    op.create_table(
        "accounts_expiring_keys",
        sa.Column(
            "key_id", sa.Text, sa.ForeignKey("accounts_api_keys.id", ondelete="CASCADE"), primary_key=True
        ),
    )
    op.create_table(
        "accounts_read_events", sa.Column("subject", sa.Text, primary_key=True), _number("stream_seq")
    )


def _make_notices() -> None:
    op.create_table(
        "accounts_notices",
        _id(),
        _of("users"),
        _text("kind"),
        _text("source", is_needed=False),
        _number("at_ms"),
        sa.Column("times", sa.Integer, nullable=False),
        _number("gathers_until_ms"),
        _number("read_at_ms", is_needed=False),
        _flag("is_shown"),
        _text("facts"),
    )
    op.create_index("accounts_notices_of_user", "accounts_notices", ["user_id", "at_ms", "id"])
    op.create_index("accounts_notices_source", "accounts_notices", ["user_id", "source"], unique=True)
    op.create_index("accounts_notices_oldest", "accounts_notices", ["at_ms"])
    op.create_table(
        "accounts_notice_settings",
        _of("users", is_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        _flag("in_app"),
        _flag("mail"),
        _flag("webhook"),
    )


def _make_webhooks() -> None:
    op.create_table(
        "accounts_webhooks",
        _id(),
        _of("users"),
        _text("url"),
        _text("kinds", is_needed=False),
        _text("state"),
        _text("sealed_secret"),
        _text("sealed_old_secret", is_needed=False),
        _number("old_until_ms", is_needed=False),
        _number("created_at_ms"),
        sa.Column("last_status", sa.Integer),
        _number("last_attempt_at_ms", is_needed=False),
    )
    op.create_index("accounts_webhooks_of_user", "accounts_webhooks", ["user_id", "created_at_ms", "id"])


def _make_deliveries() -> None:
    op.create_table(
        "accounts_deliveries",
        _id(),
        _of("users"),
        _of("notices", is_needed=False),
        _of("links", is_needed=False),
        _of("webhooks", is_needed=False),
        _text("target"),
        _text("address", is_needed=False),
        _text("sealed_token", is_needed=False),
        _number("created_at_ms"),
        _number("gives_up_at_ms"),
        sa.Column("attempts", sa.Integer, nullable=False),
        _number("next_try_at_ms"),
        _text("leased_by", is_needed=False),
        _number("leased_until_ms", is_needed=False),
        _text("outcome", is_needed=False),
        _number("ended_at_ms", is_needed=False),
    )
    for name, columns, is_unique in (
        ("of_notice", ["notice_id", "target"], True),
        ("of_link", ["link_id", "target"], True),
        ("due", ["outcome", "next_try_at_ms"], False),
        ("of_user", ["user_id", "outcome"], False),
        ("of_webhook", ["webhook_id", "outcome"], False),
    ):
        op.create_index(f"accounts_deliveries_{name}", "accounts_deliveries", columns, unique=is_unique)


def downgrade() -> None:
    for name in (
        "read_events",
        "expiring_keys",
        "forgotten_passwords",
        "refused_logins",
        "places",
        "deliveries",
        "webhooks",
        "notice_settings",
        "notices",
    ):
        op.drop_table(f"accounts_{name}")
