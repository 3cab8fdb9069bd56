"""The JetStream streams: names, subjects, retention. Uses nothing newer than nats-server 2.9."""

from dataclasses import dataclass

from parley_contracts import stream_names, subjects

TURN_PEN = stream_names.TURN_PEN
TURN_EVENTS = stream_names.TURN_EVENTS
DOMAIN_EVENTS = stream_names.DOMAIN_EVENTS

DAY_S = 86_400
MIB_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream; ages in seconds, sizes in bytes, 0 and -1 are unlimited.

    What is append-only lets nobody delete messages or purge them; not even who keeps the streams can undo it.

    Full rule: a work queue refuses the newest job, any other stream forgets its oldest message.
    """

    name: str
    subjects: tuple[str, ...]
    is_work_queue: bool = False
    max_age_s: float = 0
    max_bytes: int = -1
    is_append_only: bool = False


STREAMS = (
    StreamSpec(
        stream_names.TURNS, (subjects.ALL_TURN_STARTS,), is_work_queue=True, max_bytes=1024 * MIB_BYTES
    ),
    # A job that is older than the claims it carries and the pen it asks for is nobody's.
    StreamSpec(
        stream_names.LLM_JOBS,
        (subjects.ALL_GENERATE,),
        is_work_queue=True,
        max_age_s=DAY_S,
        max_bytes=256 * MIB_BYTES,
    ),
    StreamSpec(stream_names.INGEST, (subjects.RAG_INGEST,), is_work_queue=True, max_bytes=32 * MIB_BYTES),
    # No byte cap: a claim that is forgotten before its turn has ended would give the turn two owners.
    StreamSpec(TURN_PEN, (subjects.ALL_PEN_SLOTS, subjects.ALL_CANCELS), max_age_s=DAY_S),
    StreamSpec(TURN_EVENTS, (subjects.ALL_TURN_EVENTS,), max_age_s=DAY_S, max_bytes=4096 * MIB_BYTES),
    StreamSpec(
        DOMAIN_EVENTS,
        (
            subjects.ALL_CONVERSATION_EVENTS,
            subjects.ACCOUNTS_REVOKED,
            subjects.ACCOUNTS_KEYS_CHANGED,
            subjects.BOT_CHANGED,
            subjects.ALL_NOTICE_EVENTS,
            subjects.DOCUMENT_FAILED,
        ),
        max_age_s=7 * DAY_S,
        max_bytes=256 * MIB_BYTES,
    ),
    # Accounts copies it into its tables; what they lack after so long, they lack for ever.
    StreamSpec(
        stream_names.AUDIT,
        (subjects.ALL_AUDIT_EVENTS, subjects.AUDIT_ANCHORED),
        max_age_s=30 * DAY_S,
        max_bytes=1024 * MIB_BYTES,
        is_append_only=True,
    ),
)


def matches(pattern: str, subject: str) -> bool:
    """Return whether a subject falls under a pattern with `*` and `>` wildcards."""
    wanted, parts = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(parts) <= len(wanted):
            return False
        parts = parts[: len(wanted)]
    return len(wanted) == len(parts) and all(
        want in ("*", part) for want, part in zip(wanted, parts, strict=True)
    )


def stream_of(subject: str) -> StreamSpec | None:
    """Return the stream that captures a subject, or None for a core subject."""
    for stream in STREAMS:
        if any(matches(pattern, subject) for pattern in stream.subjects):
            return stream
    return None
