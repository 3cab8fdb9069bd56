"""The tables as queries see them; `migrations/` makes them."""

from pathlib import Path

from parley_storage import StorableText, Store
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
)

metadata = MetaData()

conversations = Table(
    "memory_conversations",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("owner_id", StorableText, nullable=False),
    Column("title", StorableText, nullable=False),
    Column("is_renamed", Boolean, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    # Set, the row is a tombstone: no title, no messages, and nothing may be stored into it again.
    Column("deleted_at_ms", BigInteger),
    Index("memory_conversations_latest", "owner_id", "updated_at_ms", "id"),
)

messages = Table(
    "memory_messages",
    metadata,
    Column("turn_id", StorableText, primary_key=True),
    Column("role", StorableText, primary_key=True),
    Column(
        "conversation_id",
        StorableText,
        ForeignKey("memory_conversations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("owner_id", StorableText, nullable=False),
    Column("client_turn_id", StorableText, nullable=False),
    # When the turn began: both its messages stand at this place of the conversation.
    Column("turn_at_ms", BigInteger, nullable=False),
    Column("text", StorableText, nullable=False),
    Column("outcome", StorableText),
    Column("citations", StorableText),
    Column("support", StorableText),
    Column("model", StorableText),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("memory_messages_in_order", "conversation_id", "turn_at_ms", "turn_id"),
)

outbox = Table(
    "memory_outbox",
    metadata,
    Column("turn_id", StorableText, primary_key=True),
    Column("owner_id", StorableText, nullable=False),
    Column("conversation_id", StorableText, nullable=False),
    Column("outcome", StorableText, nullable=False),
    Column("stored_at_ms", BigInteger, nullable=False),
)

attachments = Table(
    "memory_attachments",
    metadata,
    # Made of its owner, its name, its type and its content: the same file again is the same row.
    Column("id", StorableText, primary_key=True),
    Column("owner_id", StorableText, nullable=False),
    Column("object_id", StorableText, nullable=False),
    Column("name", StorableText, nullable=False),
    Column("content_type", StorableText, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", StorableText, nullable=False),
    Column("is_ready", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    # It is removed then, unless a message names it.
    Column("expires_at_ms", BigInteger, nullable=False),
    Index("memory_attachments_latest", "owner_id", "created_at_ms", "id"),
    Index("memory_attachments_expiring", "expires_at_ms"),
)

message_attachments = Table(
    "memory_message_attachments",
    metadata,
    Column("turn_id", StorableText, primary_key=True),
    Column(
        "attachment_id",
        StorableText,
        ForeignKey("memory_attachments.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("conversation_id", StorableText, nullable=False),
    Column("owner_id", StorableText, nullable=False),
    Column("place", Integer, nullable=False),
    Index("memory_message_attachments_of", "attachment_id"),
    Index("memory_message_attachments_in", "conversation_id"),
)

removals = Table(
    "memory_removals",
    metadata,
    # What the object store still holds of attachments that are gone.
    Column("object_id", StorableText, primary_key=True),
    Column("owner_id", StorableText, nullable=False),
)

erased_owners = Table(
    "memory_erased_owners",
    metadata,
    # A user, or what the owner ids of all visitors of an erased bot begin with: nothing is stored for them.
    Column("owner_id", StorableText, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

STORE = Store(
    "memory",
    "conversation store",
    metadata,
    head="0004",
    revisions=Path(__file__).parent / "migrations" / "versions",
)
