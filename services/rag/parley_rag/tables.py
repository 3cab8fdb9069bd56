"""The tables, as they are after the newest migration."""

from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Storable(TypeDecorator[str]):
    """A text without NUL, which PostgreSQL refuses: also one that is only compared."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and value.replace("\x00", "\ufffd")


class StorableText(Storable):
    """Such a text of any length."""

    impl = Text
    cache_ok = True


class Row(DeclarativeBase):
    """What every table's row class is made from."""


class CollectionRow(Row):
    """A collection of an owner."""

    __tablename__ = "rag_collections"

    owner_id: Mapped[str] = mapped_column(Storable(200), primary_key=True)
    name: Mapped[str] = mapped_column(Storable(100), primary_key=True)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    language: Mapped[str] = mapped_column(Storable(30))


class OriginalForm(StrEnum):
    """How an original is stored: as it came, sealed, or sealed with the plain one still to be removed."""

    PLAIN = "plain"
    BOTH = "both"
    SEALED = "sealed"


class DocumentRow(Row):
    """A document; among those of one name the one last wanted (`wanted_at_ms`) replaces the others.

    `job_at_ms` is when its job was published: 0 when that is still to be done, None when it needs none. With
    `is_reread` the job reads a ready document again. `members` and `members_done` count an archive's files.
    """

    __tablename__ = "rag_documents"
    __table_args__ = (
        ForeignKeyConstraint(
            ["owner_id", "collection"], ["rag_collections.owner_id", "rag_collections.name"]
        ),
        UniqueConstraint("owner_id", "collection", "sha256", name="uq_rag_documents_content"),
        Index("ix_rag_documents_newest", "owner_id", "created_at_ms", "id"),
        Index("ix_rag_documents_name", "owner_id", "collection", "name"),
        Index("ix_rag_documents_status", "owner_id", "status"),
        Index("ix_rag_documents_archive", "archive_id"),
        Index("ix_rag_documents_jobs", "job_at_ms"),
        Index("ix_rag_documents_form", "original_form"),
    )

    id: Mapped[str] = mapped_column(Storable(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(Storable(200))
    collection: Mapped[str] = mapped_column(Storable(100))
    name: Mapped[str] = mapped_column(Storable(500))
    title: Mapped[str | None] = mapped_column(Storable(300))
    content_type: Mapped[str] = mapped_column(Storable(200))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(Storable(64))
    status: Mapped[str] = mapped_column(Storable(20))
    error: Mapped[str | None] = mapped_column(StorableText)
    pages: Mapped[int | None]
    chunks: Mapped[int]
    chunks_done: Mapped[int]
    object_key: Mapped[str | None] = mapped_column(Storable(500))
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    wanted_at_ms: Mapped[int] = mapped_column(BigInteger)
    author: Mapped[str | None] = mapped_column(Storable(300))
    source_url: Mapped[str | None] = mapped_column(StorableText)
    language: Mapped[str | None] = mapped_column(Storable(30))
    written_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    modified_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    archive_id: Mapped[str | None] = mapped_column(Storable(36))
    job_at_ms: Mapped[int | None] = mapped_column(BigInteger)
    is_reread: Mapped[bool]
    members: Mapped[int | None]
    members_done: Mapped[int | None]
    original_form: Mapped[str] = mapped_column(Storable(10))

    @property
    def is_sealed(self) -> bool:
        """Whether the original is to be read sealed."""
        return self.original_form != OriginalForm.PLAIN


class ArchiveMemberRow(Row):
    """A file in an archive, and the document that it became or is equal to."""

    __tablename__ = "rag_archive_members"
    __table_args__ = (Index("ix_rag_archive_members_document", "document_id"),)

    archive_id: Mapped[str] = mapped_column(
        Storable(36), ForeignKey("rag_documents.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(Storable(200))
    document_id: Mapped[str] = mapped_column(Storable(36))


class PageTextRow(Row):
    """What was recognised on a scanned page, counted from 1: a document read again is cut the same."""

    __tablename__ = "rag_page_texts"

    document_id: Mapped[str] = mapped_column(
        Storable(36), ForeignKey("rag_documents.id", ondelete="CASCADE"), primary_key=True
    )
    page: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(Storable(200))
    text: Mapped[str] = mapped_column(StorableText)


class DocumentTextRow(Row):
    """The text that was read from a document, and where its pages start in it."""

    __tablename__ = "rag_document_texts"

    document_id: Mapped[str] = mapped_column(
        Storable(36), ForeignKey("rag_documents.id", ondelete="CASCADE"), primary_key=True
    )
    owner_id: Mapped[str] = mapped_column(Storable(200))
    text: Mapped[str] = mapped_column(StorableText)
    page_starts: Mapped[list[int]] = mapped_column(JSON)


class ChunkRow(Row):
    """A passage of a document; `id` is also its point's in the vector index.

    `context` is searched with it: what it needs from further up, such as the names of a table's columns.
    """

    __tablename__ = "rag_chunks"
    __table_args__ = (UniqueConstraint("document_id", "ordinal", name="uq_rag_chunks_ordinal"),)

    id: Mapped[str] = mapped_column(Storable(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(Storable(200))
    document_id: Mapped[str] = mapped_column(Storable(36), ForeignKey("rag_documents.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    start_offset: Mapped[int]
    end_offset: Mapped[int]
    page: Mapped[int | None]
    heading: Mapped[str | None] = mapped_column(StorableText)
    context: Mapped[str | None] = mapped_column(StorableText)
    text: Mapped[str] = mapped_column(StorableText)
    text_hash: Mapped[str] = mapped_column(Storable(64))


class TermRow(Row):
    """How many of an owner's indexed passages contain a word; term -1 is for all of them."""

    __tablename__ = "rag_terms"

    owner_id: Mapped[str] = mapped_column(Storable(200), primary_key=True)
    term: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    passages: Mapped[int]


class FeedbackRow(Row):
    """What an owner thinks of a citation: ids and offsets, and the note that came with it."""

    __tablename__ = "rag_feedback"
    __table_args__ = (Index("ix_rag_feedback_newest", "owner_id", "at_ms"),)

    owner_id: Mapped[str] = mapped_column(Storable(200), primary_key=True)
    turn_id: Mapped[str] = mapped_column(Storable(128), primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(Storable(200))
    collection: Mapped[str | None] = mapped_column(Storable(100))
    start_offset: Mapped[int] = mapped_column(BigInteger)
    end_offset: Mapped[int] = mapped_column(BigInteger)
    verdict: Mapped[str] = mapped_column(Storable(10))
    note: Mapped[str | None] = mapped_column(StorableText)
    at_ms: Mapped[int] = mapped_column(BigInteger)


class SearchDayRow(Row):
    """What searches of a day found in a collection; of all collections together under the empty name."""

    __tablename__ = "rag_search_days"
    __table_args__ = (Index("ix_rag_search_days_day", "day"),)

    owner_id: Mapped[str] = mapped_column(Storable(200), primary_key=True)
    collection: Mapped[str] = mapped_column(Storable(100), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True)
    searches: Mapped[int] = mapped_column(BigInteger)
    empty: Mapped[int] = mapped_column(BigInteger)
    answered: Mapped[int] = mapped_column(BigInteger)
    best_below_25: Mapped[int] = mapped_column(BigInteger)
    best_below_50: Mapped[int] = mapped_column(BigInteger)
    best_below_75: Mapped[int] = mapped_column(BigInteger)
    best_above: Mapped[int] = mapped_column(BigInteger)
    given: Mapped[int] = mapped_column(BigInteger)
    cited: Mapped[int] = mapped_column(BigInteger)


class RemovalRow(Row):
    """A document that is gone, whose vectors and original are still to be removed."""

    __tablename__ = "rag_removals"

    document_id: Mapped[str] = mapped_column(Storable(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(Storable(200))
    object_key: Mapped[str | None] = mapped_column(Storable(500))


class ErasedOwnerRow(Row):
    """An owner whose data were erased: nothing is kept for him again."""

    __tablename__ = "rag_erased_owners"

    owner_id: Mapped[str] = mapped_column(Storable(200), primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger)


class VectorSpaceRow(Row):
    """What made the vectors of an index; vectors of another model or engine are never added to it."""

    __tablename__ = "rag_vector_spaces"

    name: Mapped[str] = mapped_column(Storable(50), primary_key=True)
    model: Mapped[str] = mapped_column(Storable(200))
    engine: Mapped[str] = mapped_column(Storable(200))
    dimensions: Mapped[int]
