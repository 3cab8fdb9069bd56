"""What each service does on the bus, and so all that its credentials let it do.

A new subject reaches nobody until it is listed here; tests walk the subjects and the services' code.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from parley_contracts import stream_names, subjects
from parley_contracts.service_requests import OF_ACCOUNTS, OF_LLM, OF_MEMORY, OF_RAG, OUR_TOOLS

ANY = "*"
OUTSIDE_PREFIX = "ext-"
TOOLS_PREFIX = "tools-"
"""What the users begin with that offer tools, and do nothing else."""
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
        answers: Requests it answers in its queue group, and questions that each group hears once.
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
        *OF_LLM,
        subjects.NPU_EMBED,
        subjects.BROWSER_READ,
        *(subject for tools in OUR_TOOLS.values() for subject in tools),
        subjects.ALL_OUTSIDE_TOOL_CALLS,
        *OF_ACCOUNTS,
        *OF_MEMORY,
        *OF_RAG,
    ),
    publishes=(subjects.ALL_TURN_QUEUES, subjects.TOOL_DESCRIBE, subjects.ALL_TOOL_GIVE_UPS),
    hears=(
        subjects.ALL_TOOL_OFFERS,
        subjects.ALL_HOLDS,
        subjects.ALL_CANCELS,
        subjects.ALL_TURN_EVENTS,
        subjects.ALL_TURN_QUEUES,
        subjects.ALL_INGEST_EVENTS,
        subjects.LLM_PULL_CHANGED,
        subjects.LLM_MODELS_CHANGED,
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
    answers=(
        subjects.service_health("llm"),
        *OF_LLM,
        subjects.LLM_ERASE_USER,
        subjects.TOOL_DESCRIBE,
        *OUR_TOOLS["llm"],
    ),
    asks=(subjects.ALL_HOLDS, subjects.ACCOUNTS_READ_DATA_KEY),
    publishes=(subjects.tool_offered("llm"), subjects.LLM_PULL_CHANGED, subjects.LLM_MODELS_CHANGED),
    hears=(
        subjects.ALL_HOLDS,
        subjects.ALL_CANCELS,
        subjects.LLM_PULL_CHANGED,
        subjects.LLM_MODELS_CHANGED,
        subjects.tool_given_up("llm"),
    ),
    stores=(subjects.ALL_PEN_SLOTS, subjects.ALL_TURN_EVENTS, subjects.audit_events("llm")),
    reads=(stream_names.TURN_PEN, stream_names.TURN_EVENTS),
    works=(_POOLS,),
    originals=frozenset({Originals.GET}),
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
        *OF_RAG,
        subjects.RAG_ADD_DOCUMENT,
        subjects.RAG_EXPORT_USER,
        subjects.RAG_ERASE_USER,
        subjects.TOOL_DESCRIBE,
        *OUR_TOOLS["rag"],
    ),
    asks=(
        subjects.NPU_EMBED,
        subjects.NPU_RECOGNISE,
        subjects.NPU_RERANK,
        subjects.ACCOUNTS_READ_DATA_KEY,
    ),
    publishes=(subjects.ALL_INGEST_EVENTS, subjects.tool_offered("rag")),
    hears=(subjects.tool_given_up("rag"),),
    stores=(subjects.RAG_INGEST, subjects.DOCUMENT_FAILED, subjects.audit_events("rag")),
    works=(_INGESTERS,),
    originals=frozenset(Originals),
)

_MEMORY = BusRights(
    name="memory",
    answers=(
        subjects.service_health("memory"),
        *OF_MEMORY,
        subjects.MEMORY_EXPORT_USER,
        subjects.MEMORY_ERASE_USER,
    ),
    stores=(subjects.ALL_CONVERSATION_EVENTS, subjects.audit_events("memory")),
    originals=frozenset({Originals.DELETE}),
)

_ACCOUNTS = BusRights(
    name="accounts",
    answers=(subjects.service_health("accounts"), *OF_ACCOUNTS),
    asks=(
        subjects.MEMORY_EXPORT_USER,
        subjects.MEMORY_ERASE_USER,
        subjects.RAG_EXPORT_USER,
        subjects.RAG_ERASE_USER,
        subjects.TURN_ERASE_USER,
        subjects.LLM_ERASE_USER,
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
    answers=(
        subjects.service_health("browser"),
        subjects.BROWSER_READ,
        subjects.TOOL_DESCRIBE,
        *OUR_TOOLS["browser"],
    ),
    publishes=(subjects.tool_offered("browser"),),
    hears=(subjects.tool_given_up("browser"),),
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
    user = f"{OUTSIDE_PREFIX}{_outside(name)}"
    return BusRights(
        name=user,
        asks=(subjects.turn_submit(user), subjects.RAG_ADD_DOCUMENT),
        hears=(subjects.turn_events_of(user), subjects.turn_queues_of(user)),
    )


def outside_tool_rights(name: str) -> BusRights:
    """Return what another team's service may do that offers tools: tell which, answer their calls; no more.

    It hears nothing that has other people's reply subjects on it, and so may answer exactly what it is asked.

    Raises:
        ValueError: As of `outside_rights`.
    """
    user = f"{TOOLS_PREFIX}{_outside(name)}"
    return BusRights(
        name=user,
        answers=(subjects.TOOL_DESCRIBE, subjects.tool_calls_of(name)),
        publishes=(subjects.tool_offered(user),),
        hears=(subjects.tool_given_up(user),),
    )


def _outside(name: str) -> str:
    if not _OUTSIDE_NAME.fullmatch(name):
        raise ValueError(f"not a name for an outside service: {name!r}")
    return name


def rights_of(name: str) -> BusRights:
    """Return the rights of a service of ours, or of an outside service by its bare name."""
    return SERVICES[name] if name in SERVICES else outside_rights(name)


def rights_of_user(user: str) -> BusRights | None:
    """Return the rights of a user of the bus, ours or another team's; None for one that has no limits."""
    for prefix, rights in ((OUTSIDE_PREFIX, outside_rights), (TOOLS_PREFIX, outside_tool_rights)):
        if user.startswith(prefix):
            return rights(user.removeprefix(prefix))
    return SERVICES.get(user)
