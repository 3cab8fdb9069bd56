"""The tables as queries see them; `migrations/` makes them. No column holds a key, a password or a token."""

from pathlib import Path

from parley_storage import StorableText, Store
from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table

from parley_accounts.audit_rows import audit_tables
from parley_accounts.notices import tables as notice_tables

# One for all tables: those of notices are in it already.
metadata: MetaData = notice_tables.notices.metadata


def _of_user() -> ForeignKey:
    return ForeignKey("accounts_users.id", ondelete="CASCADE")


installation = Table(
    "accounts_installation",
    metadata,
    Column("name", StorableText, primary_key=True),
    Column("value", StorableText, nullable=False),
)

users = Table(
    "accounts_users",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("name", StorableText, nullable=False),
    Column("email", StorableText),
    Column("display_name", StorableText, nullable=False),
    Column("role", StorableText, nullable=False),
    Column("state", StorableText, nullable=False),
    # As argon2 encodes it, with parameters and salt.
    Column("password_hash", StorableText),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("last_login_at_ms", BigInteger),
    Index("accounts_users_name", "name", unique=True),
    Index("accounts_users_email", "email", unique=True),
)

sessions = Table(
    "accounts_sessions",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("user_id", StorableText, _of_user(), nullable=False),
    # The API key that opened it; it ends with the key.
    Column("key_id", StorableText),
    # The identity at a provider that it was opened by.
    Column("identity_id", StorableText),
    Column("client", StorableText, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("last_used_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Index("accounts_sessions_of_user", "user_id", "last_used_at_ms"),
    Index("accounts_sessions_expiry", "expires_at_ms"),
)

refresh_tokens = Table(
    "accounts_refresh_tokens",
    metadata,
    Column("token_hash", StorableText, primary_key=True),
    Column(
        "session_id",
        StorableText,
        ForeignKey("accounts_sessions.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger),
    # The next token, sealed by this one: only who holds this one can read it.
    Column("successor", StorableText),
    Index("accounts_refresh_tokens_of_session", "session_id"),
    Index("accounts_refresh_tokens_use", "used_at_ms"),
)

api_keys = Table(
    "accounts_api_keys",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("user_id", StorableText, _of_user(), nullable=False),
    Column("name", StorableText, nullable=False),
    Column("key_hash", StorableText, nullable=False),
    # Words with spaces between them; none is no limit.
    Column("scopes", StorableText),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("last_used_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
    Index("accounts_api_keys_of_user", "user_id", "created_at_ms"),
)

signing_keys = Table(
    "accounts_signing_keys",
    metadata,
    Column("kid", StorableText, primary_key=True),
    # `current` or `next`, of which there is one each; none for a key that signs no more.
    Column("place", StorableText),
    Column("public_key", StorableText, nullable=False),
    # Sealed by the key-encryption key; gone when the key signs no more.
    Column("private_key", StorableText),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("published_until_ms", BigInteger),
    Index("accounts_signing_keys_place", "place", unique=True),
)

data_keys = Table(
    "accounts_data_keys",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("purpose", StorableText, nullable=False),
    # The purpose, of the one key that seals for it; none of a key that only opens.
    Column("seals_for", StorableText),
    # By the key-encryption key.
    Column("sealed_key", StorableText, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("retired_at_ms", BigInteger),
    Index("accounts_data_keys_seals_for", "seals_for", unique=True),
)

links = Table(
    "accounts_links",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("kind", StorableText, nullable=False),
    Column("token_hash", StorableText, nullable=False),
    # Of invitations: the role of the user to be, and the only address that may be used.
    Column("role", StorableText),
    Column("email", StorableText),
    # Of password resets: whose.
    Column("user_id", StorableText, _of_user()),
    Column("created_by", StorableText, _of_user(), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Index("accounts_links_token", "token_hash", unique=True),
    Index("accounts_links_newest", "kind", "created_at_ms"),
)

oidc_identities = Table(
    "accounts_oidc_identities",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("user_id", StorableText, _of_user(), nullable=False),
    Column("issuer", StorableText, nullable=False),
    # The provider's name for the person, which no other person is ever given.
    Column("subject", StorableText, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("last_login_at_ms", BigInteger),
    Index("accounts_oidc_identities_subject", "issuer", "subject", unique=True),
    Index("accounts_oidc_identities_of_user", "user_id"),
)

oidc_attempts = Table(
    "accounts_oidc_attempts",
    metadata,
    # Of a login by a provider that was completed, or tried to be: it is good no more.
    Column("id", StorableText, primary_key=True),
    Column("expires_at_ms", BigInteger, nullable=False),
    Index("accounts_oidc_attempts_expiry", "expires_at_ms"),
)

bots = Table(
    "accounts_bots",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("owner_id", StorableText, _of_user(), nullable=False),
    Column("version", Integer, nullable=False),
    # What it is now, as JSON; the same stands in its latest version.
    Column("settings", StorableText, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    # Nobody may ask it, whatever its settings say.
    Column("blocked_at_ms", BigInteger),
    Index("accounts_bots_of_owner", "owner_id", "created_at_ms", "id"),
)

bot_versions = Table(
    "accounts_bot_versions",
    metadata,
    Column("bot_id", StorableText, ForeignKey("accounts_bots.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("settings", StorableText, nullable=False),
    # Words with spaces between them.
    Column("changed", StorableText, nullable=False),
    Column("changed_by", StorableText, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    Column("restored_from", Integer),
)

provider_keys = Table(
    "accounts_provider_keys",
    metadata,
    Column("bot_id", StorableText, ForeignKey("accounts_bots.id", ondelete="CASCADE"), primary_key=True),
    Column("provider", StorableText, primary_key=True),
    # Another one with each key: what was sealed for a row that is gone opens in none.
    Column("id", StorableText, nullable=False),
    # By the key-encryption key.
    Column("sealed_key", StorableText, nullable=False),
    Column("last_four", StorableText, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("accounts_provider_keys_id", "id", unique=True),
)

groups = Table(
    "accounts_groups",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("name", StorableText, nullable=False),
    # As it is compared: no two groups look the same.
    Column("folded_name", StorableText, nullable=False),
    Column("description", StorableText, nullable=False),
    # Words with spaces between them.
    Column("permissions", StorableText, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    Index("accounts_groups_name", "folded_name", unique=True),
)


def _of_group() -> ForeignKey:
    return ForeignKey("accounts_groups.id", ondelete="CASCADE")


group_members = Table(
    "accounts_group_members",
    metadata,
    Column("group_id", StorableText, _of_group(), primary_key=True),
    Column("user_id", StorableText, _of_user(), primary_key=True),
    Column("added_by", StorableText, nullable=False),
    Column("added_at_ms", BigInteger, nullable=False),
    Index("accounts_group_members_of_user", "user_id"),
)

group_bots = Table(
    "accounts_group_bots",
    metadata,
    Column("group_id", StorableText, _of_group(), primary_key=True),
    Column("bot_id", StorableText, ForeignKey("accounts_bots.id", ondelete="CASCADE"), primary_key=True),
    Column("shared_at_ms", BigInteger, nullable=False),
    Index("accounts_group_bots_of_bot", "bot_id"),
)

revocations = Table(
    "accounts_revocations",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("kind", StorableText, nullable=False),
    Column("revoked_id", StorableText, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Index("accounts_revocations_oldest", "at_ms", "id"),
)

outbox = Table(
    "accounts_outbox",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("type", StorableText, nullable=False),
    Column("body", StorableText, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("accounts_outbox_oldest", "created_at_ms", "id"),
)

usage_turns = Table(
    "accounts_usage_turns",
    metadata,
    # What was counted is counted no second time, however often its seal is found.
    Column("name", StorableText, primary_key=True),
    Column("recorded_at_ms", BigInteger, nullable=False),
    Index("accounts_usage_turns_oldest", "recorded_at_ms"),
)

usage = Table(
    "accounts_usage",
    metadata,
    Column("day", StorableText, primary_key=True),
    Column("user_id", StorableText, primary_key=True),
    # Empty for what a user has asked himself.
    Column("bot_id", StorableText, primary_key=True),
    Column("model", StorableText, primary_key=True),
    Column("turns", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False, server_default="0"),
    # Of calls that came to their end: how many, and sums of what they took.
    Column("calls", BigInteger, nullable=False, server_default="0"),
    Column("first_token_ms", BigInteger, nullable=False, server_default="0"),
    Column("writing_ms", BigInteger, nullable=False, server_default="0"),
    Column("written_tokens", BigInteger, nullable=False, server_default="0"),
    Index("accounts_usage_of_user", "user_id", "day"),
)

usage_totals = Table(
    "accounts_usage_totals",
    metadata,
    Column("scope", StorableText, primary_key=True),
    # A day or a month.
    Column("period", StorableText, primary_key=True),
    Column("turns", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    # Grows with each turn that is counted: of two readings, the one of the higher version is the later.
    Column("version", BigInteger, nullable=False),
)

data_jobs = Table(
    "accounts_data_jobs",
    metadata,
    Column("id", StorableText, primary_key=True),
    # No foreign key: an erasure is told of when the user is gone.
    Column("user_id", StorableText, nullable=False),
    Column("kind", StorableText, nullable=False),
    Column("state", StorableText, nullable=False),
    Column("asked_by", StorableText, nullable=False),
    Column("asked_at_ms", BigInteger, nullable=False),
    Column("started_at_ms", BigInteger),
    Column("ended_at_ms", BigInteger),
    Column("deadline_at_ms", BigInteger, nullable=False),
    # When it is to be gone on with; none when it has ended.
    Column("due_at_ms", BigInteger),
    # Who works on it, and until when that holds unless he says that he still does.
    Column("lease_id", StorableText),
    Column("lease_until_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("waits_for", StorableText),
    Column("error", StorableText),
    # How far it is, and what it has done, as JSON.
    Column("steps", StorableText, nullable=False),
    Column("report", StorableText, nullable=False),
    # Where the file of an export is.
    Column("object_key", StorableText),
    Column("size_bytes", BigInteger),
    Column("expires_at_ms", BigInteger),
    Index("accounts_data_jobs_of_user", "user_id", "asked_at_ms", "id"),
    Index("accounts_data_jobs_due", "due_at_ms"),
    Index("accounts_data_jobs_expiry", "expires_at_ms"),
)
audit_log, audit_head, audit_anchors, audit_keys = audit_tables(metadata)

STORE = Store(
    "accounts",
    "account store",
    metadata,
    head="0016",
    revisions=Path(__file__).parent / "migrations" / "versions",
)
