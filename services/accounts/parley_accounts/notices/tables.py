"""The tables of notices as queries see them. Secrets stand in them sealed, and no text that people wrote."""

from parley_storage import StorableText
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table

from parley_accounts.metadata import metadata


def _of(table: str, *, is_key: bool = False, is_needed: bool = True) -> "Column[str]":
    target = ForeignKey(f"accounts_{table}.id", ondelete="CASCADE")
    return Column(
        f"{table.removesuffix('s')}_id", StorableText, target, primary_key=is_key, nullable=not is_needed
    )


notices = Table(
    "accounts_notices",
    metadata,
    Column("id", StorableText, primary_key=True),
    _of("users"),
    Column("kind", StorableText, nullable=False),
    # What it was made of, where that may be told again: it is made once.
    Column("source", StorableText),
    Column("at_ms", BigInteger, nullable=False),
    Column("times", Integer, nullable=False),
    # Until then others of its kind are counted here.
    Column("gathers_until_ms", BigInteger, nullable=False),
    Column("read_at_ms", BigInteger),
    # None is shown to nobody: it is there to be delivered.
    Column("is_shown", Boolean, nullable=False),
    # As JSON.
    Column("facts", StorableText, nullable=False),
    Index("accounts_notices_of_user", "user_id", "at_ms", "id"),
    Index("accounts_notices_source", "user_id", "source", unique=True),
    Index("accounts_notices_oldest", "at_ms"),
)

notice_settings = Table(
    "accounts_notice_settings",
    metadata,
    _of("users", is_key=True),
    Column("kind", StorableText, primary_key=True),
    Column("in_app", Boolean, nullable=False),
    Column("mail", Boolean, nullable=False),
    Column("webhook", Boolean, nullable=False),
)

webhooks = Table(
    "accounts_webhooks",
    metadata,
    Column("id", StorableText, primary_key=True),
    _of("users"),
    Column("url", StorableText, nullable=False),
    # Words with spaces between them; none is everything.
    Column("kinds", StorableText),
    Column("state", StorableText, nullable=False),
    # By the key-encryption key; the old one signs beside it for a while.
    Column("sealed_secret", StorableText, nullable=False),
    Column("sealed_old_secret", StorableText),
    Column("old_until_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("last_status", Integer),
    Column("last_attempt_at_ms", BigInteger),
    Index("accounts_webhooks_of_user", "user_id", "created_at_ms", "id"),
)

deliveries = Table(
    "accounts_deliveries",
    metadata,
    Column("id", StorableText, primary_key=True),
    _of("users"),
    # One of both: a notice, or a link that is mailed.
    _of("notices", is_needed=False),
    _of("links", is_needed=False),
    _of("webhooks", is_needed=False),
    # The webhook's id, or `mail`.
    Column("target", StorableText, nullable=False),
    # Of links: where to, and the token by the key-encryption key until it is sent.
    Column("address", StorableText),
    Column("sealed_token", StorableText),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("gives_up_at_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try_at_ms", BigInteger, nullable=False),
    # Who works on it, and until when nobody else does.
    Column("leased_by", StorableText),
    Column("leased_until_ms", BigInteger),
    # None while it is to be delivered.
    Column("outcome", StorableText),
    Column("ended_at_ms", BigInteger),
    Index("accounts_deliveries_of_notice", "notice_id", "target", unique=True),
    Index("accounts_deliveries_of_link", "link_id", "target", unique=True),
    Index("accounts_deliveries_due", "outcome", "next_try_at_ms"),
    Index("accounts_deliveries_of_user", "user_id", "outcome"),
    Index("accounts_deliveries_of_webhook", "webhook_id", "outcome"),
)

places = Table(
    "accounts_places",
    metadata,
    _of("users", is_key=True),
    # A digest of network and kind of client.
    Column("place", StorableText, primary_key=True),
    Column("last_seen_at_ms", BigInteger, nullable=False),
)

refused_logins = Table(
    "accounts_refused_logins",
    metadata,
    _of("users", is_key=True),
    Column("in_a_row", Integer, nullable=False),
    Column("last_at_ms", BigInteger, nullable=False),
)

forgotten_passwords = Table(
    "accounts_forgotten_passwords",
    metadata,
    Column("id", StorableText, primary_key=True),
    # Name or address as it was typed; gone when it has been looked up.
    Column("login", StorableText, nullable=False),
    Column("asked_at_ms", BigInteger, nullable=False),
)

expiring_keys = Table(
    "accounts_expiring_keys",
    metadata,
    # Keys whose users have been told that they expire.
    Column("key_id", StorableText, ForeignKey("accounts_api_keys.id", ondelete="CASCADE"), primary_key=True),
)

read_events = Table(
    "accounts_read_events",
    metadata,
    # Where in a stream the events of a subject have been read up to.
    Column("subject", StorableText, primary_key=True),
    Column("stream_seq", BigInteger, nullable=False),
)
