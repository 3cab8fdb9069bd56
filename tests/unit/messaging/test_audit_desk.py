"""What is handed in goes to the bus in order and once; nobody waits for it, and what is lost is told."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from parley_contracts import headers, subjects
from parley_contracts.audit import (
    Action,
    ActorKind,
    AuditDetails,
    AuditEvent,
    ObjectKind,
    Outcome,
    Provenance,
)
from parley_contracts.claims import Acting, PrincipalKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import DeleteConversation
from parley_contracts.model import WireModel
from parley_contracts.replies import Done
from parley_messaging.audit_desk import MOST_APART, AuditDesk
from parley_messaging.bus import NotStoredError
from parley_messaging.error_boundary import Answering
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.provenance import coming_from

ADA = "0123456789abcdef0123456789abcdef"
HOME = Provenance(address="192.0.2.7", agent="0" * 12, credential="a" * 32, request_id="b" * 32)


@dataclass
class KeepingBus:
    """Keeps what is published, and may be away."""

    is_away: bool = False
    kept: list[tuple[str, AuditEvent]] = field(default_factory=list[tuple[str, AuditEvent]])
    ids: list[str] = field(default_factory=list[str])

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        if self.is_away:
            raise NotStoredError(subject)
        assert isinstance(event, AuditEvent)
        self.kept.append((subject, event))
        self.ids.append(message_id)

    @property
    def told(self) -> list[tuple[str, int | None]]:
        return [(event.action, event.details.count) for _, event in self.kept]


def event(outcome: Outcome = Outcome.DONE, **changed: Any) -> AuditEvent:
    fields: dict[str, Any] = {
        "id": uuid4().hex,
        "at_ms": 1,
        "action": Action.CONVERSATION_DELETED.value,
        "outcome": outcome,
        "actor_kind": ActorKind.USER,
        "actor_id": ADA,
        "object_kind": ObjectKind.CONVERSATION.value,
    }
    return AuditEvent(**{**fields, **changed})


async def test_events_are_published_in_order_on_the_subject_of_their_service() -> None:
    desk, bus = AuditDesk(), KeepingBus()
    events = [event() for _ in range(5)]
    for one in events:
        desk.hand_in("memory", one)
    await desk.drain(bus)
    assert bus.kept == [(subjects.audit_events("memory"), one) for one in events]
    assert bus.ids == [one.id for one in events]
    assert (desk.waiting, desk.lost) == (0, 0)


async def test_what_the_bus_does_not_take_waits_for_it() -> None:
    desk, bus = AuditDesk(), KeepingBus(is_away=True)
    desk.hand_in("rag", event())
    with pytest.raises(NotStoredError):
        await desk.drain(bus)
    assert desk.waiting == 1
    bus.is_away = False
    await desk.drain(bus)
    assert (len(bus.kept), desk.waiting) == (1, 0)


async def test_what_is_too_much_is_lost_counted_and_told_in_the_audit_itself() -> None:
    desk, bus = AuditDesk(most_waiting=2), KeepingBus(is_away=True)
    for _ in range(7):
        desk.hand_in("rag", event())
    assert (desk.waiting, desk.lost) == (2, 5)
    bus.is_away = False
    await desk.drain(bus)
    assert bus.told.count((Action.EVENTS_LOST, 5)) == 1
    assert len(bus.kept) == 3
    assert {subject for subject, _ in bus.kept} == {subjects.audit_events("rag")}


async def test_refusals_of_one_asker_are_one_event_and_a_count() -> None:
    desk, bus = AuditDesk(), KeepingBus()
    for _ in range(1000):
        desk.hand_in("memory", event(Outcome.REFUSED, provenance=HOME))
    desk.hand_in("memory", event(Outcome.REFUSED, actor_id="f" * 32))
    await desk.drain(bus)
    assert [count for _, count in bus.told] == [None, None]
    await desk.finish(bus)
    assert [count for _, count in bus.told] == [None, None, 999]


async def refused(*events: AuditEvent) -> KeepingBus:
    desk, bus = AuditDesk(), KeepingBus()
    for one in events:
        desk.hand_in("memory", one)
    await desk.finish(bus)
    return bus


async def test_who_holds_a_network_is_one_asker() -> None:
    bus = await refused(
        *(
            event(Outcome.REFUSED, provenance=Provenance(address=f"2001:db8:0:7::{n:x}"))
            for n in range(1, 500)
        ),
        event(Outcome.REFUSED, provenance=Provenance(address="2001:db8:0:8::1")),
    )
    assert [count for _, count in bus.told] == [None, None, 498]


@pytest.mark.parametrize(
    "changed",
    [
        [{"object_id": f"{n:032x}"} for n in range(20)],
        [{"details": AuditDetails(route=f"GET /api/{name}")} for name in ("bots", "users", "keys")],
        [{"details": AuditDetails(code=code)} for code in ("forbidden", "not_found")],
        [{"details": AuditDetails(of=f"{n:032x}")} for n in range(3)],
    ],
    ids=["objects", "routes", "reasons", "what they are a part of"],
)
async def test_different_things_that_one_asker_is_refused_are_all_seen(changed: list[dict[str, Any]]) -> None:
    events = [event(Outcome.REFUSED, **one) for one in changed]
    bus = await refused(*events, *events)
    kept = [one for _, one in bus.kept]
    assert [one for one in kept if one.details.count is None] == events
    repeats = [one.model_dump(exclude={"id"}) for one in kept if one.details.count is not None]
    counted = [one.details.model_copy(update={"count": 1}) for one in events]
    assert repeats == [
        one.model_copy(update={"details": details}).model_dump(exclude={"id"})
        for one, details in zip(events, counted, strict=True)
    ]


async def test_what_is_too_much_to_tell_apart_is_one_event_that_names_no_object() -> None:
    events = [event(Outcome.REFUSED, object_id=f"{n:032x}") for n in range(1000)]
    bus = await refused(*events)
    assert len(bus.kept) == MOST_APART + 2
    *apart, rest = [one for _, one in bus.kept]
    assert apart == events[: MOST_APART + 1]
    assert (rest.details.count, rest.object_id) == (1000 - MOST_APART - 1, "")


async def test_what_is_over_makes_room_for_the_next_minute() -> None:
    desk, bus = AuditDesk(), KeepingBus()
    for _ in range(3):
        events = [event(Outcome.REFUSED, object_id=f"{n:032x}") for n in range(MOST_APART)]
        for one in events:
            desk.hand_in("memory", one)
        await desk.finish(bus)
        assert [one for _, one in bus.kept] == events
        bus.kept.clear()


async def test_what_was_done_is_never_folded() -> None:
    desk, bus = AuditDesk(), KeepingBus()
    for _ in range(50):
        desk.hand_in("memory", event())
    await desk.finish(bus)
    assert len(bus.kept) == 50


async def test_a_desk_that_runs_publishes_by_itself() -> None:
    desk, bus = AuditDesk(), KeepingBus()
    running = asyncio.create_task(desk.run(bus))
    try:
        desk.hand_in("memory", event())
        async with asyncio.timeout(5):
            while not bus.kept:  # noqa: ASYNC110 - the desk tells nobody when it has published
                await asyncio.sleep(0)
    finally:
        running.cancel()
        await asyncio.wait([running])


# -- what is answered ---------------------------------------------------------------------------------


def answering(desk: AuditDesk, handler: Any, acting: Acting | None = None) -> Answering[DeleteConversation]:
    return Answering(
        DeleteConversation,
        handler,
        concurrency=4,
        waiting=0,
        max_reply_bytes=lambda: 1000,
        check=lambda _, __: acting,
        audited=desk.of_subject(subjects.MEMORY_DELETE_CONVERSATION, "memory"),
    )


ASKED = DeleteConversation(owner_id=ADA, conversation_id="c" * 32)
WITH_PROVENANCE = {headers.PROVENANCE: HOME.model_dump_json()}


async def told_of(handler: Any, acting: Acting | None = None, asked: WireModel = ASKED) -> list[AuditEvent]:
    desk, bus = AuditDesk(), KeepingBus()
    await answering(desk, handler, acting).answer(asked.model_dump_json().encode(), WITH_PROVENANCE)
    await desk.drain(bus)
    return [one for _, one in bus.kept]


async def done(_: DeleteConversation) -> Done:
    return Done()


async def test_a_request_that_was_done_says_who_did_what_to_what_from_where() -> None:
    (told,) = await told_of(done, Acting(ADA, kind=PrincipalKind.KEY))
    assert (told.actor_kind, told.actor_id) == (ActorKind.KEY, ADA)
    assert (told.action, told.object_kind, told.object_id) == (
        Action.CONVERSATION_DELETED,
        ObjectKind.CONVERSATION,
        "c" * 32,
    )
    assert (told.outcome, told.provenance) == (Outcome.DONE, HOME)


@pytest.mark.parametrize(
    ("raised", "outcome", "code"),
    [
        (ParleyError(ErrorCode.FORBIDDEN, "No."), Outcome.REFUSED, "forbidden"),
        (ParleyError(ErrorCode.NOT_FOUND, "No."), Outcome.REFUSED, "not_found"),
        (ParleyError(ErrorCode.UNAVAILABLE, "Later."), Outcome.FAILED, "unavailable"),
        (TimeoutError(), Outcome.FAILED, "timeout"),
        (RuntimeError("a fault of ours"), Outcome.FAILED, "internal"),
    ],
    ids=["forbidden", "not_found", "unavailable", "timeout", "internal"],
)
async def test_a_request_that_was_not_done_says_why(raised: Exception, outcome: Outcome, code: str) -> None:
    async def fail(_: DeleteConversation) -> Done:
        raise raised

    (told,) = await told_of(fail, Acting(ADA))
    assert (told.outcome, told.details.code, told.object_id) == (outcome, code, "c" * 32)


async def test_who_nobody_vouches_for_is_unknown() -> None:
    (told,) = await told_of(done)
    assert told.actor_kind is ActorKind.UNKNOWN


async def test_another_teams_service_says_nothing_of_where_it_is() -> None:
    (told,) = await told_of(done, Acting(ADA, kind=PrincipalKind.SERVICE))
    assert told.provenance == Provenance()


async def test_an_id_that_somebody_wrote_is_hashed() -> None:
    asked = DeleteConversation(owner_id=ADA, conversation_id="my holidays in Rome")
    (told,) = await told_of(done, Acting(ADA), asked)
    assert told.object_id.startswith("h-")
    assert "holidays" not in told.model_dump_json()


async def test_what_is_no_request_writes_nothing() -> None:
    assert await told_of(done, Acting(ADA), Done()) == []


async def test_a_request_is_answered_at_once_while_the_bus_takes_no_events() -> None:
    desk, bus = AuditDesk(), KeepingBus(is_away=True)
    reply = await answering(desk, done, Acting(ADA)).answer(ASKED.model_dump_json().encode(), {})
    assert reply.data == Done().model_dump_json().encode()
    with pytest.raises(NotStoredError):
        await desk.drain(bus)


async def test_where_a_request_comes_from_travels_with_what_it_asks() -> None:
    bus = MemoryBus()
    bus.answer(subjects.MEMORY_DELETE_CONVERSATION, DeleteConversation, done, group="memory")
    with coming_from(HOME):
        await bus.request(subjects.MEMORY_DELETE_CONVERSATION, ASKED, Done)
    keeping = KeepingBus()
    await bus.audit.drain(keeping)
    ((subject, told),) = keeping.kept
    assert (subject, told.provenance) == (subjects.audit_events("memory"), HOME)


@pytest.mark.parametrize(
    "text",
    ['{"address": "the kitchen"}', "no json", "x" * 1000, '{"agent": 1}'],
    ids=["text", "json", "long", "type"],
)
async def test_what_a_header_says_that_is_no_provenance_is_not_told(text: str) -> None:
    desk, bus = AuditDesk(), KeepingBus()
    data = ASKED.model_dump_json().encode()
    await answering(desk, done, Acting(ADA)).answer(data, {headers.PROVENANCE: text})
    await desk.drain(bus)
    assert bus.kept[0][1].provenance == Provenance()
