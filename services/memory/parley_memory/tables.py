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
    head="0003",
    revisions=Path(__file__).parent / "migrations" / "versions",
)
