"""Every place that can hold something of a user, and what becomes of it when he is exported or erased.

Accounts and memory are driven by it: a table that names its user is exported and erased by what stands here.
A test compares it with the tables of all services, the streams, the rights in Redis and the data folder.
"""

from parley_contracts import stream_names
from parley_contracts.attachment_data_places import ATTACHMENT_PLACES
from parley_contracts.data_place import DataPlace, Ending, PlaceKind, table_place
from parley_contracts.notices_data_places import NOTICE_PLACES
from parley_contracts.redis_rights import ANSWER_KEYS, EMBEDDING_KEYS, LIMIT_KEYS, REVOCATION_KEYS

__all__ = ["PLACES", "DataPlace", "Ending", "PlaceKind", "kept_places", "places_of"]

_ACCOUNTS = (
    table_place("accounts", "installation", "the name of the installation", Ending.IMPERSONAL),
    table_place(
        "accounts",
        "users",
        "name, address, role and password hash",
        Ending.ERASED,
        user_column="id",
        is_exported=True,
        hidden=("password_hash",),
    ),
    table_place(
        "accounts",
        "sessions",
        "when and by which client he was logged in",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
    ),
    table_place(
        "accounts",
        "refresh_tokens",
        "hashes of tokens",
        Ending.WITH_PARENT,
        why="Hashes of random tokens: they say nothing to anybody.",
    ),
    table_place(
        "accounts",
        "api_keys",
        "names, scopes and hashes of his keys",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
        hidden=("key_hash",),
    ),
    table_place(
        "accounts",
        "oidc_identities",
        "who he is at a login provider",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
    ),
    table_place("accounts", "oidc_attempts", "logins by a provider that are used up", Ending.IMPERSONAL),
    table_place("accounts", "signing_keys", "keys of the installation", Ending.IMPERSONAL),
    table_place("accounts", "data_keys", "keys that stored files are sealed under", Ending.IMPERSONAL),
    table_place(
        "accounts", "usage", "what he has spent", Ending.ERASED, user_column="user_id", is_exported=True
    ),
    table_place(
        "accounts", "usage_turns", "ids of turns", Ending.EXPIRES, why="For eight days; keyed hashes."
    ),
    table_place("accounts", "usage_totals", "sums for quotas", Ending.EXPIRES, why="For two months: quotas."),
    table_place(
        "accounts",
        "links",
        "invitations that he made, and resets of his password",
        Ending.ERASED,
        user_column="created_by",
        is_exported=True,
        hidden=("token_hash",),
    ),
    table_place(
        "accounts",
        "bots",
        "his bots with their prompts",
        Ending.ERASED,
        user_column="owner_id",
        is_exported=True,
    ),
    table_place(
        "accounts",
        "bot_versions",
        "earlier settings of his bots",
        Ending.WITH_PARENT,
        user_column="changed_by",
        is_exported=True,
    ),
    table_place(
        "accounts",
        "provider_keys",
        "sealed keys of his bots at providers",
        Ending.WITH_PARENT,
        why="Sealed, and never shown to anybody; their last four characters stand with the bot.",
    ),
    *NOTICE_PLACES,
    table_place("accounts", "groups", "names and permissions of groups", Ending.IMPERSONAL),
    table_place(
        "accounts",
        "group_members",
        "which groups he is in",
        Ending.ERASED,
        user_column="user_id",
        is_exported=True,
    ),
    table_place(
        "accounts",
        "group_bots",
        "which groups may ask his bots",
        Ending.WITH_PARENT,
        why="Ids only.",
    ),
    table_place(
        "accounts",
        "audit_log",
        "what he did to what, with ids and addresses",
        Ending.KEPT,
        why="Ids, times and addresses, chained so that nobody removes a row unseen; as long as the audit is.",
    ),
    table_place("accounts", "audit_head", "where the chain of the audit ends", Ending.IMPERSONAL),
    table_place("accounts", "audit_anchors", "signed ends of the audit's chain", Ending.IMPERSONAL),
    table_place("accounts", "audit_keys", "keys that sign them", Ending.IMPERSONAL),
    table_place(
        "accounts",
        "revocations",
        "ids of what is refused",
        Ending.EXPIRES,
        why="An id, so that his tokens are refused until the last of them has expired: minutes.",
    ),
    table_place(
        "accounts",
        "outbox",
        "ids in events that are about to be told",
        Ending.EXPIRES,
        why="Ids, gone when the event is published: seconds.",
    ),
    table_place(
        "accounts",
        "data_jobs",
        "his exports and his erasure, with counts, and erasures of visitors of bots that he has deleted",
        Ending.KEPT,
        user_column="user_id",
        is_exported=True,
        hidden=("lease_id", "steps", "object_key"),
        why="The id of the user, counts and times: they show that he was erased. Files of exports go.",
    ),
)

_MEMORY = (
    table_place(
        "memory",
        "conversations",
        "conversations and their titles, also of visitors of his bots",
        Ending.ERASED,
        user_column="owner_id",
        is_exported=True,
    ),
    table_place(
        "memory",
        "messages",
        "what he asked and what was answered",
        Ending.ERASED,
        user_column="owner_id",
        is_exported=True,
    ),
    *ATTACHMENT_PLACES,
    table_place(
        "memory",
        "outbox",
        "ids in events that are about to be told",
        Ending.ERASED,
        user_column="owner_id",
        why="Ids only.",
    ),
    table_place(
        "memory",
        "erased_owners",
        "ids of users that are erased",
        Ending.KEPT,
        why="A random id, for good: what arrives late is refused by it.",
    ),
)

_RAG = (
    table_place("rag", "collections", "names of his collections", Ending.ERASED, is_exported=True),
    table_place("rag", "documents", "names and data of his documents", Ending.ERASED, is_exported=True),
    table_place("rag", "archive_members", "which file came in which archive", Ending.ERASED, why="Ids only."),
    table_place(
        "rag",
        "page_texts",
        "text that was recognised on scanned pages",
        Ending.ERASED,
        why="Made from the upload, which is exported.",
    ),
    table_place(
        "rag",
        "document_texts",
        "the text of his documents",
        Ending.ERASED,
        why="Made from the upload, which is exported.",
    ),
    table_place(
        "rag", "chunks", "passages of it", Ending.ERASED, why="Made from the upload, which is exported."
    ),
    table_place(
        "rag", "terms", "how often words occur in it", Ending.ERASED, why="Numbers of words, hashed."
    ),
    table_place("rag", "feedback", "his verdicts and notes on citations", Ending.ERASED, is_exported=True),
    table_place("rag", "search_days", "how many searches he made a day", Ending.ERASED, is_exported=True),
    table_place("rag", "removals", "documents that are being removed", Ending.ERASED, why="Ids only."),
    table_place("rag", "vector_spaces", "which model made the vectors", Ending.IMPERSONAL),
    table_place(
        "rag",
        "erased_owners",
        "ids of users that are erased",
        Ending.KEPT,
        why="A random id, for good: what arrives late is refused by it.",
    ),
)


def _stream(name: str, service: str, holds: str, ending: Ending, why: str) -> DataPlace:
    return DataPlace(name=name, kind=PlaceKind.STREAM, service=service, holds=holds, ending=ending, why=why)


_IN_CONVERSATION = (
    "What is kept stands in its conversation, which is exported. Words of a turn that is not kept are gone "
    "after a day."
)

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
    _stream(
        stream_names.TURN_EVENTS,
        "gateway",
        "answers of a day, and what tools said",
        Ending.ERASED,
        _IN_CONVERSATION,
    ),
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
        holds="uploads, files sent to models, and files of exports",
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
        name=f"{ANSWER_KEYS}*",
        kind=PlaceKind.KEYS,
        service="llm",
        holds="answers that he was given, sealed under the questions",
        ending=Ending.ERASED,
        why="The same answers stand in his conversations, which are exported; gone after an hour.",
    ),
    DataPlace(
        name=f"{LIMIT_KEYS}*",
        kind=PlaceKind.KEYS,
        service="gateway",
        holds="how much was asked and spent of late, under ids and addresses",
        ending=Ending.EXPIRES,
        why="Ids, addresses and times, gone when the limit is full again: minutes. Sums for quotas: 33 days.",
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


_IN_TABLES = "What of it is exported, and why the rest is not, stands with the tables and streams in it."

_FILES = (
    _file("accounts.sqlite*", "accounts", "the tables of accounts", Ending.ERASED, _IN_TABLES),
    _file("memory.sqlite*", "memory", "the tables of memory", Ending.ERASED, _IN_TABLES),
    _file("rag.sqlite*", "rag", "the tables of rag", Ending.ERASED, _IN_TABLES),
    _file("vectors", "rag", "the vector index", Ending.ERASED, _IN_TABLES),
    _file("nats", "gateway", "streams and the object store", Ending.ERASED, _IN_TABLES),
    _file(
        "redis",
        "npu",
        "what Redis keeps",
        Ending.EXPIRES,
        "Ids, addresses, numbers under hashes, sealed answers.",
    ),
    _file(
        "logs",
        "gateway",
        "ids",
        Ending.EXPIRES,
        "Ids, in files that are turned over at starts when they are large; three are kept.",
    ),
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
