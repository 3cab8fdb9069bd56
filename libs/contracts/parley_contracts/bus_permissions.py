"""Rights as nats-server checks them: subjects a user may publish to and subscribe to."""

from collections.abc import Collection
from dataclasses import dataclass

from parley_contracts import stream_names
from parley_contracts.bus_rights import STREAM_OF, BusRights, Originals, Worker

API = "$JS.API"
BUCKET = f"OBJ_{stream_names.ORIGINALS}"
_CHUNKS, _META = f"$O.{stream_names.ORIGINALS}.C.*", f"$O.{stream_names.ORIGINALS}.M.*"
OPERATORS_INBOX = "_INBOX.>"
"""Where a user without limits awaits answers; nobody else may listen there."""
RESPONSE_S = 600
"""How long after a request its answer may still be sent: above every time a caller waits."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What one user may do.

    Attributes:
        publish: Subjects it may publish to.
        subscribe: Subjects it may subscribe to; with a second word, in that queue group only.
        may_respond: Whether it may answer once on the reply subject of what it is sent.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    may_respond: bool


def permissions_of(rights: BusRights, everybody: Collection[BusRights]) -> Permissions:
    """Return the permissions that rights need; `everybody` says who asks what it answers."""
    answers_by_inbox = bool(rights.works) or any(_has_replies(one, everybody) for one in rights.hears)
    publish = [*rights.asks, *rights.publishes, *rights.stores]
    if answers_by_inbox:
        # nats-server walks all that it remembers of replies whenever they are many, and every stored event
        # and every job has one: who gets these is given the inboxes, whose names nobody can guess.
        publish += _inboxes(rights, everybody)
    publish += [f"{API}.DIRECT.GET.{stream}" for stream in rights.reads]
    publish += [f"{API}.STREAM.INFO.{stream}" for stream in streams_of(rights)]
    publish += [f"{API}.STREAM.MSG.DELETE.{stream}" for stream in rights.erases]
    publish += [f"{API}.STREAM.PURGE.{stream}" for stream in rights.compacts]
    for worker in rights.works:
        publish += _takes_jobs(worker)
    for worker in rights.looks_at:
        publish += _looks(worker)
    if rights.keeps:
        publish += [f"{API}.STREAM.LIST"]
    for stream in rights.keeps:
        publish += [f"{API}.STREAM.CREATE.{stream}", f"{API}.STREAM.UPDATE.{stream}"]
    publish += _handles(rights.originals)
    return Permissions(
        publish=tuple(dict.fromkeys(publish)),
        subscribe=(
            *(f"{subject} {rights.name}" for subject in rights.answers),
            *rights.hears,
            f"{rights.inbox_prefix}.>",
        ),
        may_respond=bool(rights.answers) and not answers_by_inbox,
    )


def streams_of(rights: BusRights) -> tuple[str, ...]:
    """Return the streams that must be there before a service can do what it does."""
    used = [
        stream
        for subject in rights.stores
        for pattern, stream in STREAM_OF.items()
        if _overlap(pattern, subject)
    ]
    used += [*rights.reads, *rights.erases, *rights.compacts]
    used += [*(worker.stream for worker in (*rights.works, *rights.looks_at)), *rights.keeps]
    return tuple(dict.fromkeys(used))


def _has_replies(heard: str, everybody: Collection[BusRights]) -> bool:
    """Return whether messages have a reply subject: what is stored has, and what somebody asks."""
    asked = (asked for one in everybody for asked in one.asks)
    return any(_overlap(one, heard) for one in (*STREAM_OF, *asked))


def _inboxes(rights: BusRights, everybody: Collection[BusRights]) -> list[str]:
    """Return where those who ask this service wait; a question it hears is one that anybody of them asks."""
    told = {*rights.answers, *rights.hears}
    asking = [
        f"{one.inbox_prefix}.>"
        for one in everybody
        if any(_overlap(asked, answered) for asked in one.asks for answered in told)
    ]
    return [*asking, OPERATORS_INBOX] if rights.answers else asking


def _overlap(one: str, other: str) -> bool:
    parts, others = one.split("."), other.split(".")
    return len(parts) == len(others) and all(
        part == with_part or "*" in (part, with_part) for part, with_part in zip(parts, others, strict=True)
    )


def _looks(worker: Worker) -> list[str]:
    at = f"{worker.stream}.{worker.consumer}"
    return [f"{API}.CONSUMER.INFO.{at}", f"{API}.CONSUMER.DURABLE.CREATE.{at}"]


def _takes_jobs(worker: Worker) -> list[str]:
    at = f"{worker.stream}.{worker.consumer}"
    return [*_looks(worker), f"{API}.CONSUMER.MSG.NEXT.{at}", f"$JS.ACK.{at}.>"]


def _handles(originals: Collection[Originals]) -> list[str]:
    """Return what nats-py's object store sends, and what our reader of chunks does."""
    found: list[str] = []
    if originals:
        found += [f"{API}.STREAM.INFO.{BUCKET}"]
    if Originals.GET in originals or Originals.DELETE in originals:
        found += [f"{API}.STREAM.MSG.GET.{BUCKET}"]
    if Originals.GET in originals:
        found += [f"{API}.DIRECT.GET.{BUCKET}"]
    if Originals.PUT in originals:
        found += [_CHUNKS]
    if Originals.DELETE in originals or (Originals.GET in originals and Originals.PUT in originals):
        # What takes another's place is deleted.
        found += [f"{API}.STREAM.PURGE.{BUCKET}"]
    if Originals.DELETE in originals:
        # Overwritten first, for what is purged stays in the server's files.
        found += [f"{API}.STREAM.MSG.DELETE.{BUCKET}"]
    if Originals.PUT in originals or Originals.DELETE in originals:
        found += [_META]
    return found
