"""What somebody with a service's credentials tries on the bus, by kind: subjects, and what is said there."""

import json
from collections.abc import Iterable, Iterator

from parley_contracts import stream_names, subjects
from parley_contracts.bus_permissions import API, BUCKET, permissions_of
from parley_contracts.bus_rights import SERVICES, STREAM_OF, BusRights
from parley_contracts.catalogue import CHANNELS
from parley_messaging.streams import matches

Message = tuple[str, bytes]

STREAMS = (*dict.fromkeys(STREAM_OF.values()), BUCKET)
QUEUES = (
    (stream_names.TURNS, stream_names.TURN_RUNNERS),
    (stream_names.INGEST, stream_names.INGESTERS),
    (stream_names.LLM_JOBS, stream_names.pool_workers("ollama")),
    (stream_names.AUDIT, stream_names.AUDIT_WRITERS),
)
PURGE = f"{API}.STREAM.PURGE.{stream_names.TURN_EVENTS}"
FORGED = subjects.turn_events("h", "forged")
ELSEWHERE = (PURGE, f"{API}.STREAM.PURGE.{BUCKET}", FORGED)
"""Where nobody awaits an answer, and one does harm."""


def listening(turn_events: str) -> tuple[str, ...]:
    """Return what somebody listens to who wants to read the turn whose events have this subject."""
    return (
        ">",
        "*.>",
        "parley.>",
        "parley.*.turn.>",
        f"{subjects.PREFIX}.>",
        turn_events,
        subjects.ALL_TURN_EVENTS,
        subjects.ALL_TURN_EVENTS.replace(".*.*", ".>"),
        f"{subjects.PREFIX}.turn.*.*.*",
        f"{subjects.PREFIX}.turn.>",
        f"{subjects.PREFIX}.llm.>",
        f"{subjects.PREFIX}.memory.>",
        f"{subjects.PREFIX}.rag.>",
        f"{subjects.PREFIX}.accounts.>",
        f"{subjects.PREFIX}.ingest.>",
        subjects.ALL_CONVERSATION_EVENTS,
        "_INBOX.>",
        "_INBOX.*",
        "*.*",
        "$JS.>",
        f"{API}.>",
        "$JS.ACK.>",
        "$JS.EVENT.ADVISORY.>",
        "$JS.FC.>",
        "$KV.>",
        "$O.>",
        "$O.ORIGINALS.C.*",
        "$SYS.>",
        "$SYS.ACCOUNT.>",
        "$SYS.REQ.>",
    )


def others(rights: BusRights) -> list[BusRights]:
    """Return the services of ours that a user is not."""
    return [one for one in SERVICES.values() if one.name != rights.name]


def reading(turn_events: str) -> Iterator[Message]:
    """Return requests by which a stream, or what is known of it, is read."""
    yield from ((f"{API}.{what}", b"") for what in ("INFO", "STREAM.NAMES", "STREAM.LIST"))
    last = json.dumps({"last_by_subj": turn_events}).encode()
    for stream in STREAMS:
        yield f"{API}.STREAM.INFO.{stream}", b'{"subjects_filter":">"}'
        yield f"{API}.STREAM.MSG.GET.{stream}", last
        yield f"{API}.DIRECT.GET.{stream}", last
        yield f"{API}.DIRECT.GET.{stream}.{turn_events}", b""
        yield f"{API}.CONSUMER.NAMES.{stream}", b""
        yield f"{API}.CONSUMER.LIST.{stream}", b""
    yield "$SYS.REQ.USER.INFO", b""
    yield "$SYS.REQ.SERVER.PING.CONNZ", b""


def consuming(inbox: str) -> Iterator[Message]:
    """Return requests that make consumers, and such as take from those that are there."""
    for stream in STREAMS:
        for name in ("", "rogue", f"rogue.{subjects.PREFIX}.>"):
            config = {"ack_policy": "none", "deliver_subject": inbox, **({"name": "rogue"} if name else {})}
            request = json.dumps({"stream_name": stream, "config": config}).encode()
            yield f"{API}.CONSUMER.CREATE.{stream}{'.' if name else ''}{name}", request
        durable = {"durable_name": "rogue", "ack_policy": "none", "deliver_subject": inbox}
        request = json.dumps({"stream_name": stream, "config": durable}).encode()
        yield f"{API}.CONSUMER.DURABLE.CREATE.{stream}.rogue", request
    for stream, consumer in QUEUES:
        yield f"{API}.CONSUMER.MSG.NEXT.{stream}.{consumer}", b'{"batch":1,"expires":1000000000}'
        yield f"{API}.CONSUMER.INFO.{stream}.{consumer}", b""


def destroying(inbox: str) -> Iterator[Message]:
    """Return requests that change streams, delete what is in them or write past everybody else into them."""
    for stream in STREAMS:
        config = json.dumps({"name": stream, "subjects": ["rogue"], "max_msgs": 1}).encode()
        yield f"{API}.STREAM.PURGE.{stream}", b""
        yield f"{API}.STREAM.DELETE.{stream}", b""
        yield f"{API}.STREAM.UPDATE.{stream}", config
        yield f"{API}.STREAM.CREATE.{stream}", config
        yield f"{API}.STREAM.MSG.DELETE.{stream}", b'{"seq":1}'
        yield f"{API}.STREAM.SNAPSHOT.{stream}", json.dumps({"deliver_subject": inbox}).encode()
        yield f"{API}.STREAM.RESTORE.{stream}", json.dumps({"config": {"name": stream}}).encode()
    for stream, consumer in QUEUES:
        yield f"{API}.CONSUMER.DELETE.{stream}.{consumer}", b""
        yield f"$JS.ACK.{stream}.{consumer}.1.1.1.1.0", b"+TERM"
    copying = {"name": "ROGUE", "sources": [{"name": stream_names.TURN_EVENTS}]}
    yield f"{API}.STREAM.CREATE.ROGUE", json.dumps(copying).encode()
    yield from ((f"$O.ORIGINALS.{kind}.x", b"forged") for kind in ("C", "M"))
    yield "$KV.rogue.x", b"forged"


def beyond(messages: Iterable[Message], rights: BusRights) -> Iterator[Message]:
    """Return those of the messages that a user may not send."""
    allowed = permissions_of(rights, SERVICES.values()).publish
    return (one for one in messages if not any(matches(pattern, one[0]) for pattern in allowed))


def speaking(rights: BusRights) -> Iterator[Message]:
    """Return a message on each subject of the catalogue that a user may not send on."""
    yield from beyond(((channel.pattern.replace("*", "1"), b"{}") for channel in CHANNELS), rights)
    # In others' name.
    yield from beyond(((subjects.audit_events(name), b"{}") for name in SERVICES), rights)
