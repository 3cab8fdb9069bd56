"""Every changing subject and route says what it writes into the audit; a new one that says nothing fails."""

import pytest
from parley_contracts import audit_policy
from parley_contracts.audit import NAME_FORM, Action, AuditEvent, ObjectKind, as_id, as_names
from parley_contracts.audit_policy import Unwritten, Written, only_reads
from parley_contracts.bus_permissions import streams_of
from parley_contracts.bus_rights import SERVICES
from parley_contracts.catalogue import CHANNELS
from parley_contracts.channel import Channel, ChannelKind
from parley_contracts.route_policy import OPEN_ROUTES, ROUTES
from parley_contracts.stream_names import AUDIT
from pydantic import BaseModel, ValidationError

WHERE = "libs/contracts/parley_contracts/audit_policy.py"
HOW = (
    "Written(Action.<PAST_TENSE>, ObjectKind.<KIND>, 'asked.<field with the id>' or 'told.<field>'), with a "
    "new Action or ObjectKind in audit.py where none fits; or, where it writes nothing, an Unwritten.<REASON>"
)
CHANGING = {
    one.pattern: one
    for one in CHANNELS
    if one.kind in {ChannelKind.REQUEST, ChannelKind.COMMAND} and not only_reads(one.pattern)
}
WRITTEN = {subject: one for subject, one in audit_policy.SUBJECTS.items() if isinstance(one, Written)}
every_written = pytest.mark.parametrize("subject", WRITTEN, ids=lambda one: one.split(".", 2)[2])


def channel_of(subject: str) -> Channel:
    return next(one for one in CHANNELS if one.pattern == subject)


def test_every_changing_subject_says_what_it_writes() -> None:
    missing = set(CHANGING) - set(audit_policy.SUBJECTS)
    if missing:
        pytest.fail(
            f"these change something and are not in the audit's policy: {sorted(missing)}. For each, add to "
            f"SUBJECTS in {WHERE}: s.<ITS_NAME>: {HOW}. A subject whose last word begins with one of "
            f"{audit_policy.READING_VERBS} is taken to read."
        )


def test_the_policy_lists_no_subject_that_is_not_there() -> None:
    known = {one.pattern for one in CHANNELS if one.kind in {ChannelKind.REQUEST, ChannelKind.COMMAND}}
    assert set(audit_policy.SUBJECTS) <= known, f"take out of SUBJECTS in {WHERE}"


def test_every_changing_route_says_which_subject_writes_for_it() -> None:
    missing = {one for one in {*ROUTES, *OPEN_ROUTES} if one[0] != "GET"} - set(audit_policy.ROUTES)
    if missing:
        pytest.fail(
            f"these are not in the audit's policy: {sorted(missing)}. For each, add to ROUTES in {WHERE}: "
            "(method, path): s.<THE SUBJECT behind it that is Written>, or an Unwritten.<REASON>"
        )


def test_the_policy_lists_no_route_that_is_not_there() -> None:
    assert set(audit_policy.ROUTES) <= {*ROUTES, *OPEN_ROUTES}, f"take out of ROUTES in {WHERE}"


@pytest.mark.parametrize("route", audit_policy.ROUTES, ids=" ".join)
def test_the_subject_behind_a_route_writes(route: tuple[str, str]) -> None:
    entry = audit_policy.ROUTES[route]
    if not isinstance(entry, Unwritten):
        assert entry in WRITTEN, f"{route} names {entry}, which is not Written in SUBJECTS in {WHERE}"


def stands(place: str, asked: type[BaseModel], told: type[BaseModel]) -> bool:
    """Return whether a place of the policy is a field of text in the request or in the answer."""
    root, *names = place.split(".")
    model: object = {"asked": asked, "told": told}[root]
    for name in names:
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        if name not in model.model_fields:
            return False
        model = model.model_fields[name].annotation
    return model in (str, str | None)


@every_written
def test_what_the_policy_reads_is_there(subject: str) -> None:
    written, channel = WRITTEN[subject], channel_of(subject)
    (asked,), told = channel.messages, channel.replies[0]
    for place in (*written.object.split("|"), *written.actor.split("|"), written.of):
        assert not place or stands(place, asked, told), f"{subject}: {place} is no field of text"
    assert all(name in asked.model_fields for name in written.changed)


@every_written
def test_who_answers_may_write_into_the_audit(subject: str) -> None:
    receiver = SERVICES[channel_of(subject).receiver]
    assert AUDIT in streams_of(receiver), f"{receiver.name} stores no audit events: add them in bus_rights.py"


def test_what_nobody_writes_is_not_in_the_contract() -> None:
    by_hand = {
        Action.REFRESH_TOKEN_REUSED,
        Action.ROUTE_REQUESTED,
        Action.EVENTS_LOST,
        Action.ROWS_REMOVED,
    }
    assert {one.action for one in WRITTEN.values()} | by_hand == set(Action)
    assert {one.kind for one in WRITTEN.values()} | {ObjectKind.ROUTE, ObjectKind.AUDIT} == set(ObjectKind)


@pytest.mark.parametrize("subject", ["read_this", "list_those", "check_it"])
def test_a_subject_reads_by_its_name(subject: str) -> None:
    assert only_reads(f"a.service.{subject}")


@pytest.mark.parametrize("subject", ["delete_it", "reading", "start.*"])
def test_any_other_subject_changes_something(subject: str) -> None:
    assert not only_reads(f"a.service.{subject}")


IDS = [
    "local-owner",
    "0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "6f1c3a52-90b1-4f3c-8c11-0b6c2f9f1a77",
    f"visitor-{'a' * 32}-{'0' * 32}",
]
TEXTS = [
    "my secret plan",
    "pk-0123456789abcdef-c2VjcmV0",
    "x",
    "../etc",
    "0123456789abcdef " * 2,
    "ü",
    "\ud800",
]


@pytest.mark.parametrize("known", IDS)
def test_an_id_of_ours_stands_in_the_audit_as_it_is(known: str) -> None:
    assert as_id(known) == known
    assert as_id(as_id("anything else")) == as_id("anything else")


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_anything_else_is_hashed(text: str) -> None:
    assert as_id(text).startswith("h-")
    assert text not in as_id(text) or len(text) < 2
    assert len(as_id(text)) == 26


EVENT = {
    "id": "0" * 32,
    "at_ms": 1,
    "action": "key_created",
    "outcome": "done",
    "actor_kind": "user",
    "object_kind": "key",
}


@pytest.mark.parametrize(
    "field",
    [
        {"actor_id": "Ada Lovelace"},
        {"object_id": "what I wrote"},
        {"action": "Said hello to"},
        {"object_kind": "my diary"},
        {"provenance": {"address": "the kitchen"}},
        {"provenance": {"agent": "Mozilla/5.0"}},
        {"provenance": {"credential": "pk-live-secret"}},
        {"provenance": {"request_id": "remember the milk"}},
        {"details": {"changed": ["title = Holidays"]}},
        {"details": {"code": "You may not do this."}},
    ],
    ids=lambda one: ".".join(
        [*one, *(next(iter(one.values())) if isinstance(next(iter(one.values())), dict) else [])]
    ),
)
def test_no_field_of_an_event_takes_what_people_write(field: dict[str, object]) -> None:
    assert AuditEvent.model_validate(EVENT)
    with pytest.raises(ValidationError):
        AuditEvent.model_validate({**EVENT, **field})


def test_names_are_told_and_nothing_else() -> None:
    assert as_names(["title", "new_role", "title", "Hello there"]) == ("title", "new_role")
    assert NAME_FORM.startswith("^")
