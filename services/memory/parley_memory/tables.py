"""The tables as queries see them; `migrations/` makes them."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class StorableText(TypeDecorator[str]):
    """Text in which U+0000, which PostgreSQL refuses, becomes U+FFFD: one bad character loses no turn."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\x00", "\ufffd")

    def process_literal_param(self, value: str | None, dialect: Dialect) -> str:
        return "" if value is None else value.replace("\x00", "\ufffd")

    @property
    def python_type(self) -> type[Any]:
        return str


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
