"""Every place that can hold something of a user, and what becomes of it when he is exported or erased.

Accounts and memory are driven by it: a table that names its user is exported and erased by what stands here.
A test compares it with the tables of all services, the streams, the rights in Redis and the data folder.
"""

from dataclasses import dataclass
from enum import StrEnum

from parley_contracts import stream_names
from parley_contracts.redis_rights import EMBEDDING_KEYS, LIMIT_KEYS, REVOCATION_KEYS


class PlaceKind(StrEnum):
    """What a place is."""

    TABLE = "table"
    STREAM = "stream"
    BUCKET = "bucket"
    INDEX = "index"
    KEYS = "keys"
    FILE = "file"


class Ending(StrEnum):
    """What an erasure does to what a place holds of a user."""

    ERASED = "erased"
    """Removed by the job; what was written is overwritten."""
    WITH_PARENT = "with parent"
    """Removed by the database with the row that it belongs to."""
    EXPIRES = "expires"
    """Ids only, gone by themselves in a while."""
    KEPT = "kept"
    """Ids and times only, kept for the reason that is given."""
    IMPERSONAL = "impersonal"
    """Holds nothing of a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlace:
    """One place.

    Attributes:
        name: The table, stream, bucket, index, pattern of keys, or pattern of files in the data folder.
        kind: What it is.
        service: Whose it is, and who is asked to export and erase it.
        holds: What it can hold of a user, for people.
        ending: What an erasure does to it.
        user_column: Of a table that is erased or exported by its rows: the column that names the user.
        is_exported: Whether it goes into the user's export.
        hidden: Columns that no export shows: what proves who somebody is.
        why: Why it is kept or not exported, and for how long; for people.
    """

    name: str
    kind: PlaceKind
    service: str
    holds: str
    ending: Ending
    user_column: str = ""
    is_exported: bool = False
    hidden: tuple[str, ...] = ()
    why: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether something of the user stays there, for a while at least."""
        return self.ending in {Ending.KEPT, Ending.EXPIRES}


def _table(service: str, name: str, holds: str, ending: Ending, **more: object) -> DataPlace:
    return DataPlace(
        name=f"{service}_{name}",
        kind=PlaceKind.TABLE,
        service=service,
        holds=holds,
        ending=ending,
        **more,  # pyright: ignore[reportArgumentType] - the fields of DataPlace, by their names
    )


_ACCOUNTS = (
    _table("accounts", "installation", "the name of the installation", Ending.IMPERSONAL),
    _table(
        "accounts",
        "users",
        "name, address, role and password hash",
        Ending.ERASED,
        user_column="id",
        is_exported=True,
        hidden=("password_hash",),
    ),
    _table(
        "accounts",
        "sessions",
        "when and by which client he was logged in",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
    ),
    _table(
        "accounts",
        "refresh_tokens",
        "hashes of tokens",
        Ending.WITH_PARENT,
        why="Hashes of random tokens: they say nothing to anybody.",
    ),
    _table(
        "accounts",
        "api_keys",
        "names, scopes and hashes of his keys",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
        hidden=("key_hash",),
    ),
    _table(
        "accounts",
        "oidc_identities",
        "who he is at a login provider",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
    ),
    _table("accounts", "oidc_attempts", "logins by a provider that are used up", Ending.IMPERSONAL),
    _table("accounts", "signing_keys", "keys of the installation", Ending.IMPERSONAL),
    _table("accounts", "data_keys", "keys that stored files are sealed under", Ending.IMPERSONAL),
    _table("accounts", "usage", "what he has spent", Ending.ERASED, user_column="user_id", is_exported=True),
    _table("accounts", "usage_turns", "ids of turns", Ending.EXPIRES, why="For eight days; keyed hashes."),
    _table("accounts", "usage_totals", "sums for quotas", Ending.EXPIRES, why="For two months: quotas."),
    _table(
        "accounts",
        "links",
        "invitations that he made, and resets of his password",
        Ending.ERASED,
        user_column="created_by",
        is_exported=True,
        hidden=("token_hash",),
    ),
    _table(
        "accounts",
        "bots",
        "his bots with their prompts",
        Ending.ERASED,
        user_column="owner_id",
        is_exported=True,
    ),
    _table(
        "accounts",
        "bot_versions",
        "earlier settings of his bots",
        Ending.WITH_PARENT,
        user_column="changed_by",
        is_exported=True,
    ),
    _table(
        "accounts",
        "provider_keys",
        "sealed keys of his bots at providers",
        Ending.WITH_PARENT,
        why="Sealed, and never shown to anybody; their last four characters stand with the bot.",
    ),
    _table("accounts", "groups", "names and permissions of groups", Ending.IMPERSONAL),
    _table(
        "accounts",
        "group_members",
        "which groups he is in",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
    ),
    _table(
        "accounts",
        "group_bots",
        "which groups may ask his bots",
        Ending.WITH_PARENT,
        why="Ids only.",
    ),
    _table(
        "accounts",
        "audit_log",
        "what he did to what, with ids and addresses",
        Ending.KEPT,
        why="Ids, times and addresses, chained so that nobody removes a row unseen; as long as the audit is.",
    ),
    _table("accounts", "audit_head", "where the chain of the audit ends", Ending.IMPERSONAL),
    _table("accounts", "audit_anchors", "signed ends of the audit's chain", Ending.IMPERSONAL),
    _table("accounts", "audit_keys", "keys that sign them", Ending.IMPERSONAL),
    _table(
        "accounts",
        "revocations",
        "ids of what is refused",
        Ending.EXPIRES,
        why="An id, so that his tokens are refused until the last of them has expired: minutes.",
    ),
    _table(
        "accounts",
        "outbox",
        "ids in events that are about to be told",
        Ending.EXPIRES,
        why="Ids, gone when the event is published: seconds.",
    ),
    _table(
        "accounts",
        "data_jobs",
        "his exports and his erasure, with counts",
        Ending.KEPT,
        user_column="user_id",
        is_exported=True,
        hidden=("lease_id", "steps", "object_key"),
        why="The id of the user, counts and times: they show that he was erased. Exports are removed.",
    ),
)

_MEMORY = (
    _table(
        "memory",
        "conversations",
        "conversations and their titles, also of visitors of his bots",
        Ending.ERASED,
        user_column="owner_id",
        is_exported=True,
    ),
    _table(
        "memory",
        "messages",
        "what he asked and what was answered",
        Ending.ERASED,
        user_column="owner_id",
        is_exported=True,
    ),
    _table(
        "memory",
        "outbox",
        "ids in events that are about to be told",
        Ending.ERASED,
        user_column="owner_id",
        why="Ids only.",
    ),
    _table(
        "memory",
        "erased_owners",
        "ids of users that are erased",
        Ending.KEPT,
        why="A random id, for good: what arrives late is refused by it.",
    ),
)

_RAG = (
    _table("rag", "collections", "names of his collections", Ending.ERASED, is_exported=True),
    _table("rag", "documents", "names and data of his documents", Ending.ERASED, is_exported=True),
    _table("rag", "archive_members", "which file came in which archive", Ending.ERASED, why="Ids only."),
    _table(
        "rag",
        "page_texts",
        "text that was recognised on scanned pages",
        Ending.ERASED,
        why="Made from the upload, which is exported.",
    ),
    _table(
        "rag",
        "document_texts",
        "the text of his documents",
        Ending.ERASED,
        why="Made from the upload, which is exported.",
    ),
    _table("rag", "chunks", "passages of it", Ending.ERASED, why="Made from the upload, which is exported."),
    _table("rag", "terms", "how often words occur in it", Ending.ERASED, why="Numbers of words, hashed."),
    _table("rag", "feedback", "his verdicts and notes on citations", Ending.ERASED, is_exported=True),
    _table("rag", "search_days", "how many searches he made a day", Ending.ERASED, is_exported=True),
    _table("rag", "removals", "documents that are being removed", Ending.ERASED, why="Ids only."),
    _table("rag", "vector_spaces", "which model made the vectors", Ending.IMPERSONAL),
    _table(
        "rag",
        "erased_owners",
        "ids of users that are erased",
        Ending.KEPT,
        why="A random id, for good: what arrives late is refused by it.",
    ),
)


def _stream(name: str, service: str, holds: str, ending: Ending, why: str) -> DataPlace:
    return DataPlace(name=name, kind=PlaceKind.STREAM, service=service, holds=holds, ending=ending, why=why)


_IN_CONVERSATION = "What is kept of a turn stands in its conversation, which is exported."

_STREAMS = (
    _stream(
        stream_names.TURNS, "gateway", "questions that wait for a runner", Ending.ERASED, _IN_CONVERSATION
    ),
    _stream(
        stream_names.LLM_JOBS, "gateway", "prompts that wait for a model", Ending.ERASED, _IN_CONVERSATION
    ),
    _stream(
        stream_names.TURN_PEN, "gateway", "questions and answers of a day", Ending.ERASED, _IN_CONVERSATION
    ),
    _stream(stream_names.TURN_EVENTS, "gateway", "answers of a day", Ending.ERASED, _IN_CONVERSATION),
    _stream(
        stream_names.INGEST,
        "rag",
        "ids of documents that wait to be read",
        Ending.EXPIRES,
        "Ids, gone when the job is taken, which finds nothing.",
    ),
    _stream(
        stream_names.AUDIT,
        "accounts",
        "what he did to what, with ids and addresses",
        Ending.KEPT,
        "Ids, times and addresses, until the stream forgets them; the audit's rows are checked against it.",
    ),
    _stream(
        stream_names.DOMAIN_EVENTS,
        "accounts",
        "ids of users, conversations, turns and bots",
        Ending.EXPIRES,
        "Ids, for seven days: other services read there what has happened.",
    ),
)

_OTHERS = (
    DataPlace(
        name=stream_names.ORIGINALS,
        kind=PlaceKind.BUCKET,
        service="rag",
        holds="uploads, and files of exports",
        ending=Ending.ERASED,
        is_exported=True,
    ),
    DataPlace(
        name="vectors",
        kind=PlaceKind.INDEX,
        service="rag",
        holds="vectors and weights of words of his passages",
        ending=Ending.ERASED,
        why="Numbers made from the upload, which is exported.",
    ),
    DataPlace(
        name=f"{EMBEDDING_KEYS}*",
        kind=PlaceKind.KEYS,
        service="npu",
        holds="vectors of texts, under hashes of them",
        ending=Ending.EXPIRES,
        why="Numbers under a hash, with nobody's id; gone after 30 days without use.",
    ),
    DataPlace(
        name=f"{LIMIT_KEYS}*",
        kind=PlaceKind.KEYS,
        service="gateway",
        holds="how much was asked of late, under ids and addresses",
        ending=Ending.EXPIRES,
        why="Ids, addresses and times; gone when the limit is full again: minutes.",
    ),
    DataPlace(
        name=f"{REVOCATION_KEYS}*",
        kind=PlaceKind.KEYS,
        service="accounts",
        holds="ids of what is refused",
        ending=Ending.EXPIRES,
        why="Ids, until the last token that they refuse has expired: minutes.",
    ),
)


def _file(name: str, service: str, holds: str, ending: Ending, why: str = "") -> DataPlace:
    return DataPlace(name=name, kind=PlaceKind.FILE, service=service, holds=holds, ending=ending, why=why)


_IN_TABLES = "The tables, streams and indexes in it are exported."

_FILES = (
    _file("accounts.sqlite*", "accounts", "the tables of accounts", Ending.ERASED, _IN_TABLES),
    _file("memory.sqlite*", "memory", "the tables of memory", Ending.ERASED, _IN_TABLES),
    _file("rag.sqlite*", "rag", "the tables of rag", Ending.ERASED, _IN_TABLES),
    _file("vectors", "rag", "the vector index", Ending.ERASED, _IN_TABLES),
    _file("nats", "gateway", "streams and the object store", Ending.ERASED, _IN_TABLES),
    _file("redis", "npu", "what Redis keeps", Ending.EXPIRES, "Ids, and numbers under hashes."),
    _file("logs", "gateway", "ids", Ending.EXPIRES, "Ids, in files that are turned over and forgotten."),
    _file("secrets", "gateway", "keys of the installation", Ending.IMPERSONAL),
    _file("models", "npu", "the embedding model", Ending.IMPERSONAL),
    _file("run", "gateway", "the state of the running stack", Ending.IMPERSONAL),
)
"""By what stands directly in the data folder."""

PLACES: tuple[DataPlace, ...] = (*_ACCOUNTS, *_MEMORY, *_RAG, *_STREAMS, *_OTHERS, *_FILES)
"""All of them, in the order in which an export shows tables."""


def places_of(service: str, kind: PlaceKind | None = None) -> tuple[DataPlace, ...]:
    """Return the places of a service, of one kind or of all."""
    return tuple(one for one in PLACES if one.service == service and kind in {None, one.kind})


def kept_places() -> dict[str, str]:
    """Return what stays after an erasure, by place, and why."""
    return {one.name: one.why for one in PLACES if one.is_kept}
