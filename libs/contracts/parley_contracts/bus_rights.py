"""What each service does on the bus, and so all that its credentials let it do.

A new subject reaches nobody until it is listed here; tests walk the subjects and the services' code.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from parley_contracts import stream_names, subjects

ANY = "*"
OUTSIDE_PREFIX = "ext-"
_OUTSIDE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class Originals(StrEnum):
    """What a service does with uploaded originals."""

    GET = "get"
    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Worker:
    """A consumer of a work queue; `consumer` may be `ANY`."""

    stream: str
    consumer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BusRights:
    """One user of the bus. Subjects may hold wildcards.

    Attributes:
        name: The user, and the queue group it answers in.
        answers: Requests it answers in its queue group.
        asks: Requests it sends.
        publishes: Core messages it sends.
        hears: Core messages it listens to, each process for itself.
        stores: What it publishes into a stream that acknowledges it.
        reads: Streams out of which it reads any message.
        works: Work queues it takes jobs from.
        looks_at: Work queues whose state it reads.
        erases: Streams of which it overwrites messages.
        compacts: Work queues from whose files it has what is done removed.
        keeps: Streams it makes and changes; everybody else waits until they are there.
        originals: What it does with uploaded originals.
    """

    name: str
    answers: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    works: tuple[Worker, ...] = ()
    looks_at: tuple[Worker, ...] = ()
    erases: tuple[str, ...] = ()
    compacts: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    originals: frozenset[Originals] = frozenset()

    @property
    def inbox_prefix(self) -> str:
        """Under which its answers come; nobody else may listen there."""
        return f"_INBOX_{self.name}"


STREAM_OF = {
    subjects.ALL_TURN_STARTS: stream_names.TURNS,
    subjects.ALL_GENERATE: stream_names.LLM_JOBS,
    subjects.RAG_INGEST: stream_names.INGEST,
    subjects.ALL_PEN_SLOTS: stream_names.TURN_PEN,
    subjects.ALL_CANCELS: stream_names.TURN_PEN,
    subjects.ALL_TURN_EVENTS: stream_names.TURN_EVENTS,
    subjects.ALL_CONVERSATION_EVENTS: stream_names.DOMAIN_EVENTS,
    subjects.ACCOUNTS_REVOKED: stream_names.DOMAIN_EVENTS,
    subjects.ACCOUNTS_KEYS_CHANGED: stream_names.DOMAIN_EVENTS,
    subjects.BOT_CHANGED: stream_names.DOMAIN_EVENTS,
    subjects.ALL_NOTICE_EVENTS: stream_names.DOMAIN_EVENTS,
    subjects.DOCUMENT_FAILED: stream_names.DOMAIN_EVENTS,
    subjects.ALL_AUDIT_EVENTS: stream_names.AUDIT,
    subjects.AUDIT_ANCHORED: stream_names.AUDIT,
}
"""Which stream keeps what is stored on a subject."""

_OF_ACCOUNTS = (
    subjects.ACCOUNTS_LOG_IN,
    subjects.ACCOUNTS_LOG_IN_WITH_KEY,
    subjects.ACCOUNTS_READ_LOGIN_PROVIDER,
    subjects.ACCOUNTS_BEGIN_PROVIDER_LOGIN,
    subjects.ACCOUNTS_COMPLETE_PROVIDER_LOGIN,
    subjects.ACCOUNTS_READ_PROVIDER_LOGOUT,
    subjects.ACCOUNTS_REFRESH_SESSION,
    subjects.ACCOUNTS_LIST_SESSIONS,
    subjects.ACCOUNTS_END_SESSION,
    subjects.ACCOUNTS_END_SESSIONS,
    subjects.ACCOUNTS_CREATE_USER,
    subjects.ACCOUNTS_READ_USER,
    subjects.ACCOUNTS_LIST_USERS,
    subjects.ACCOUNTS_CHANGE_USER,
    subjects.ACCOUNTS_CHANGE_PASSWORD,
    subjects.ACCOUNTS_CREATE_INVITATION,
    subjects.ACCOUNTS_LIST_INVITATIONS,
    subjects.ACCOUNTS_REVOKE_INVITATION,
    subjects.ACCOUNTS_ACCEPT_INVITATION,
    subjects.ACCOUNTS_CREATE_PASSWORD_RESET,
    subjects.ACCOUNTS_RESET_PASSWORD,
    subjects.ACCOUNTS_CREATE_KEY,
    subjects.ACCOUNTS_LIST_KEYS,
    subjects.ACCOUNTS_REVOKE_KEY,
    subjects.ACCOUNTS_CHECK_KEY,
    subjects.ACCOUNTS_CHECK_SESSION,
    subjects.ACCOUNTS_PUBLISHED_KEYS,
    subjects.ACCOUNTS_ROTATE_SIGNING_KEY,
    subjects.ACCOUNTS_READ_REVOCATIONS,
    subjects.ACCOUNTS_CREATE_BOT,
    subjects.ACCOUNTS_READ_BOT,
    subjects.ACCOUNTS_LIST_BOTS,
    subjects.ACCOUNTS_CHANGE_BOT,
    subjects.ACCOUNTS_DELETE_BOT,
    subjects.ACCOUNTS_LIST_BOT_VERSIONS,
    subjects.ACCOUNTS_READ_BOT_VERSION,
    subjects.ACCOUNTS_RESTORE_BOT_VERSION,
    subjects.ACCOUNTS_SET_PROVIDER_KEY,
    subjects.ACCOUNTS_LIST_PROVIDER_KEYS,
    subjects.ACCOUNTS_DELETE_PROVIDER_KEY,
    subjects.ACCOUNTS_ROTATE_KEK,
    subjects.ACCOUNTS_READ_PUBLIC_BOT,
    subjects.ACCOUNTS_LIST_NOTICES,
    subjects.ACCOUNTS_MARK_NOTICES_READ,
    subjects.ACCOUNTS_READ_NOTICE_SETTINGS,
    subjects.ACCOUNTS_CHANGE_NOTICE_SETTINGS,
    subjects.ACCOUNTS_CREATE_WEBHOOK,
    subjects.ACCOUNTS_READ_WEBHOOK,
    subjects.ACCOUNTS_LIST_WEBHOOKS,
    subjects.ACCOUNTS_CHANGE_WEBHOOK,
    subjects.ACCOUNTS_DELETE_WEBHOOK,
    subjects.ACCOUNTS_ROTATE_WEBHOOK_SECRET,
    subjects.ACCOUNTS_TRY_WEBHOOK,
    subjects.ACCOUNTS_FORGOT_PASSWORD,
    subjects.ACCOUNTS_RECORD_USAGE,
    subjects.ACCOUNTS_READ_TOTALS,
    subjects.ACCOUNTS_READ_USAGE,
    subjects.ACCOUNTS_READ_DATA_KEY,
    subjects.ACCOUNTS_ROTATE_DATA_KEY,
    subjects.ACCOUNTS_LIST_AUDIT,
    subjects.ACCOUNTS_OPEN_AUDIT_EXPORT,
    subjects.ACCOUNTS_READ_AUDIT_SEGMENT,
    subjects.ACCOUNTS_CHECK_AUDIT,
    subjects.ACCOUNTS_CREATE_EXPORT,
    subjects.ACCOUNTS_READ_EXPORT,
    subjects.ACCOUNTS_CREATE_ERASURE,
    subjects.ACCOUNTS_LIST_DATA_JOBS,
    subjects.ACCOUNTS_CREATE_GROUP,
    subjects.ACCOUNTS_READ_GROUP,
    subjects.ACCOUNTS_LIST_GROUPS,
    subjects.ACCOUNTS_LIST_OWN_GROUPS,
    subjects.ACCOUNTS_CHANGE_GROUP,
    subjects.ACCOUNTS_DELETE_GROUP,
    subjects.ACCOUNTS_LIST_GROUP_MEMBERS,
    subjects.ACCOUNTS_ADD_GROUP_MEMBER,
    subjects.ACCOUNTS_REMOVE_GROUP_MEMBER,
    subjects.ACCOUNTS_LIST_ALL_KEYS,
    subjects.ACCOUNTS_LIST_ALL_BOTS,
    subjects.ACCOUNTS_READ_ANY_BOT,
    subjects.ACCOUNTS_BLOCK_BOT,
    subjects.ACCOUNTS_SHARE_BOT,
    subjects.ACCOUNTS_UNSHARE_BOT,
    subjects.ACCOUNTS_LIST_BOT_SHARES,
    subjects.ACCOUNTS_LIST_SHARED_BOTS,
    subjects.ACCOUNTS_READ_SHARED_BOT,
    subjects.ACCOUNTS_ASK_BOT,
)

_OF_MEMORY = (
    subjects.MEMORY_STORE_USER_MESSAGE,
    subjects.MEMORY_STORE_TURN,
    subjects.MEMORY_READ_HISTORY,
    subjects.MEMORY_READ_TURN,
    subjects.MEMORY_LIST_CONVERSATIONS,
    subjects.MEMORY_READ_CONVERSATION,
    subjects.MEMORY_RENAME_CONVERSATION,
    subjects.MEMORY_DELETE_CONVERSATION,
)

_OF_RAG = (
    subjects.RAG_SEARCH,
    subjects.RAG_CREATE_DOCUMENT,
    subjects.RAG_READ_DOCUMENT,
    subjects.RAG_CANCEL_DOCUMENT,
    subjects.RAG_REINDEX_DOCUMENT,
    subjects.RAG_LIST_DOCUMENTS,
    subjects.RAG_DELETE_DOCUMENT,
    subjects.RAG_READ_PASSAGE,
    subjects.RAG_LIST_COLLECTIONS,
    subjects.RAG_CREATE_COLLECTION,
    subjects.RAG_DELETE_COLLECTION,
    subjects.RAG_READ_COLLECTION,
    subjects.RAG_REINDEX_COLLECTION,
    subjects.RAG_RATE_CITATION,
    subjects.RAG_LIST_FEEDBACK,
    subjects.RAG_DELETE_FEEDBACK,
    subjects.RAG_COUNT_CITATIONS,
    subjects.RAG_READ_QUALITY,
)

_TURN_RUNNERS = Worker(stream_names.TURNS, stream_names.TURN_RUNNERS)
_INGESTERS = Worker(stream_names.INGEST, stream_names.INGESTERS)
_AUDITORS = Worker(stream_names.AUDIT, stream_names.AUDIT_WRITERS)
_POOLS = Worker(stream_names.LLM_JOBS, ANY)

_GATEWAY = BusRights(
    name="gateway",
    answers=(subjects.service_health("gateway"), subjects.ALL_SUBMITS, subjects.TURN_ERASE_USER),
    asks=(
        subjects.ALL_HEALTH,
        subjects.ALL_HOLDS,
        subjects.LLM_MODELS,
        subjects.NPU_EMBED,
        subjects.BROWSER_READ,
        *_OF_ACCOUNTS,
        *_OF_MEMORY,
        *_OF_RAG,
    ),
    publishes=(subjects.ALL_TURN_QUEUES,),
    hears=(
        subjects.ALL_HOLDS,
        subjects.ALL_CANCELS,
        subjects.ALL_TURN_EVENTS,
        subjects.ALL_TURN_QUEUES,
        subjects.ALL_INGEST_EVENTS,
        subjects.ACCOUNTS_REVOKED,
        subjects.ACCOUNTS_KEYS_CHANGED,
        subjects.BOT_CHANGED,
        subjects.ALL_NOTICE_EVENTS,
    ),
    stores=(
        subjects.ALL_TURN_STARTS,
        subjects.ALL_PEN_SLOTS,
        subjects.ALL_CANCELS,
        subjects.ALL_TURN_EVENTS,
        subjects.ALL_GENERATE,
        subjects.RAG_INGEST,
        subjects.audit_events("gateway"),
    ),
    reads=(stream_names.TURNS, stream_names.LLM_JOBS, stream_names.TURN_PEN, stream_names.TURN_EVENTS),
    erases=(stream_names.TURN_PEN, stream_names.TURN_EVENTS, stream_names.LLM_JOBS),
    compacts=(stream_names.TURNS, stream_names.LLM_JOBS),
    works=(_TURN_RUNNERS,),
    looks_at=(_POOLS,),
    keeps=(*dict.fromkeys(STREAM_OF.values()), f"OBJ_{stream_names.ORIGINALS}"),
    originals=frozenset({Originals.GET, Originals.PUT}),
)

_LLM = BusRights(
    name="llm",
    answers=(subjects.service_health("llm"), subjects.LLM_MODELS),
    asks=(subjects.ALL_HOLDS,),
    hears=(subjects.ALL_HOLDS, subjects.ALL_CANCELS),
    stores=(subjects.ALL_PEN_SLOTS, subjects.ALL_TURN_EVENTS),
    reads=(stream_names.TURN_PEN, stream_names.TURN_EVENTS),
    works=(_POOLS,),
)

_NPU = BusRights(
    name="npu",
    answers=(
        subjects.service_health("npu"),
        subjects.NPU_EMBED,
        subjects.NPU_RECOGNISE,
        subjects.NPU_RERANK,
    ),
)

_RAG = BusRights(
    name="rag",
    answers=(
        subjects.service_health("rag"),
        *_OF_RAG,
        subjects.RAG_ADD_DOCUMENT,
        subjects.RAG_EXPORT_USER,
        subjects.RAG_ERASE_USER,
    ),
    asks=(
        subjects.NPU_EMBED,
        subjects.NPU_RECOGNISE,
        subjects.NPU_RERANK,
        subjects.ACCOUNTS_READ_DATA_KEY,
    ),
    publishes=(subjects.ALL_INGEST_EVENTS,),
    stores=(subjects.RAG_INGEST, subjects.DOCUMENT_FAILED, subjects.audit_events("rag")),
    works=(_INGESTERS,),
    originals=frozenset(Originals),
)

_MEMORY = BusRights(
    name="memory",
    answers=(
        subjects.service_health("memory"),
        *_OF_MEMORY,
        subjects.MEMORY_EXPORT_USER,
        subjects.MEMORY_ERASE_USER,
    ),
    stores=(subjects.ALL_CONVERSATION_EVENTS, subjects.audit_events("memory")),
)

_ACCOUNTS = BusRights(
    name="accounts",
    answers=(subjects.service_health("accounts"), *_OF_ACCOUNTS),
    asks=(
        subjects.MEMORY_EXPORT_USER,
        subjects.MEMORY_ERASE_USER,
        subjects.RAG_EXPORT_USER,
        subjects.RAG_ERASE_USER,
        subjects.TURN_ERASE_USER,
    ),
    hears=(subjects.DOCUMENT_FAILED,),
    stores=(
        subjects.ACCOUNTS_REVOKED,
        subjects.ACCOUNTS_KEYS_CHANGED,
        subjects.BOT_CHANGED,
        subjects.ALL_NOTICE_EVENTS,
        subjects.audit_events("accounts"),
        subjects.AUDIT_ANCHORED,
    ),
    reads=(stream_names.DOMAIN_EVENTS, stream_names.AUDIT),
    works=(_AUDITORS,),
    originals=frozenset(Originals),
)

_BROWSER = BusRights(
    name="browser",
    answers=(subjects.service_health("browser"), subjects.BROWSER_READ),
)

SERVICES = {one.name: one for one in (_GATEWAY, _LLM, _NPU, _RAG, _MEMORY, _ACCOUNTS, _BROWSER)}
"""Every service of ours."""


def outside_rights(name: str) -> BusRights:
    """Return what another team's service may do: start turns, follow its own, have documents ingested.

    It asks for all of it, and nothing that it publishes is answered by nats-server itself: a stream's
    acknowledgement goes wherever the publisher says, to a subject that purges streams as well.

    Raises:
        ValueError: The name is no lower-case word of letters, digits and `-`.
    """
    if not _OUTSIDE_NAME.fullmatch(name):
        raise ValueError(f"not a name for an outside service: {name!r}")
    user = f"{OUTSIDE_PREFIX}{name}"
    return BusRights(
        name=user,
        asks=(subjects.turn_submit(user), subjects.RAG_ADD_DOCUMENT),
        hears=(subjects.turn_events_of(user), subjects.turn_queues_of(user)),
    )


def rights_of(name: str) -> BusRights:
    """Return the rights of a service of ours, or of an outside service by its bare name."""
    return SERVICES[name] if name in SERVICES else outside_rights(name)
