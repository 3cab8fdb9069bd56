"""Credentials follow the code: every subject stands in somebody's rights, and nobody has one for nothing."""

import inspect

import pytest
from parley_contracts import subjects
from parley_contracts.bus_permissions import API, Permissions, permissions_of
from parley_contracts.bus_rights import SERVICES, STREAM_OF, BusRights, outside_rights, outside_tool_rights
from parley_contracts.catalogue import CHANNELS
from parley_contracts.channel import CORE, Channel, ChannelKind
from parley_contracts.service_requests import OUR_TOOLS
from parley_messaging.streams import STREAMS, matches

from tests.architecture.source_tree import ROOT, made_tree, real_tree
from tests.architecture.used_subjects import ANYTHING, named_subjects, own_subjects, reachable_subjects
from tests.architecture.verdict import expect_none

OUTSIDE, OFFERING = outside_rights("x"), outside_tool_rights("x")
EVERYBODY = (*SERVICES.values(), OUTSIDE, OFFERING)
every_service = pytest.mark.parametrize("rights", SERVICES.values(), ids=lambda one: one.name)
BUILT = {
    name: value
    for name, value in vars(subjects).items()
    if not name.startswith(("_", "parse_"))
    and name != "PREFIX"
    and (isinstance(value, str) or (inspect.isfunction(value) and value.__module__ == subjects.__name__))
}

BUILT_TOOLS = [subject for tools in OUR_TOOLS.values() for subject in tools]


def sent(rights: BusRights) -> tuple[str, ...]:
    return (*rights.asks, *rights.publishes, *rights.stores)


def taken(rights: BusRights) -> tuple[str, ...]:
    streams = {*rights.reads, *(one.stream for one in rights.works)}
    stored = tuple(pattern for pattern, stream in STREAM_OF.items() if stream in streams)
    return (*rights.answers, *rights.hears, *stored)


def stands_in(subject: str, patterns: tuple[str, ...]) -> bool:
    return any(matches(pattern, subject) for pattern in patterns)


def can_be(subject: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a subject that is named falls under one of the patterns when what varies is right."""
    parts = subject.split(".")
    return any(
        len(parts) == len(wanted)
        and all(want in ("*", part) or part == ANYTHING for want, part in zip(wanted, parts, strict=True))
        for wanted in (pattern.split(".") for pattern in patterns)
    )


def test_every_service_of_the_repository_has_rights() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml")}
    assert set(SERVICES) == folders


@pytest.mark.parametrize("name", BUILT)
def test_every_subject_has_somebody_who_sends_it_and_somebody_who_takes_it(name: str) -> None:
    (literal,) = named_subjects(made_tree({"a.py": f"subjects.{name}"})[0].tree)
    assert any(can_be(literal, sent(one)) for one in EVERYBODY), f"{name}: nobody may send it"
    # Domain events are for whoever comes later; nobody of ours listens to them yet.
    if not literal.startswith(subjects.ALL_CONVERSATION_EVENTS.removesuffix("*")):
        assert any(can_be(literal, taken(one)) for one in EVERYBODY), f"{name}: nobody may take it"


@every_service
def test_what_the_code_of_a_service_names_stands_in_its_rights(rights: BusRights) -> None:
    allowed = (*sent(rights), *taken(rights))
    expect_none([one for one in own_subjects(real_tree(), rights.name) if not stands_in(one, allowed)])


@every_service
def test_no_service_has_a_right_that_its_code_does_not_name(rights: BusRights) -> None:
    # Whoever answers requests tells its health, and writes what it did into the audit.
    own = {subjects.service_health(rights.name), subjects.audit_events(rights.name)}
    named = {*reachable_subjects(real_tree(), rights.name), *own}
    if rights.name in OUR_TOOLS and subjects.TOOL_DESCRIBE in named:
        named |= {subjects.tool_offered(rights.name), subjects.tool_given_up(rights.name)}
    if subjects.tool_offered("1") in named:
        # Who hears offers calls our tools by the table that says whose they are.
        named.update(BUILT_TOOLS)
    expect_none(
        [
            pattern
            for pattern in (*sent(rights), *rights.answers, *rights.hears)
            if not any(matches(pattern, one) for one in named)
        ]
    )


def test_a_subject_that_is_named_and_not_listed_is_found() -> None:
    tree = made_tree({"services/browser/parley_browser/x.py": "ask(subjects.MEMORY_READ_TURN)"})
    (found,) = own_subjects(tree, "browser")
    assert not stands_in(found, (*sent(SERVICES["browser"]), *taken(SERVICES["browser"])))


@pytest.mark.parametrize(
    "channel",
    [one for one in CHANNELS if one.kind is ChannelKind.REQUEST and "*" not in one.pattern],
    ids=lambda one: one.name,
)
def test_a_request_is_answered_by_the_service_the_catalogue_names(channel: Channel) -> None:
    answering = {name for name, one in SERVICES.items() if channel.pattern in one.answers}
    assert answering == {channel.receiver}


def test_what_is_stored_stands_in_the_stream_that_messaging_makes() -> None:
    made = {pattern: stream.name for stream in STREAMS for pattern in stream.subjects}
    assert made == STREAM_OF
    assert all(stands_in(pattern, tuple(STREAM_OF)) for one in EVERYBODY for pattern in one.stores)
    assert {one.carried_by for one in CHANNELS} - {CORE} <= set(STREAM_OF.values())


@every_service
def test_nobody_may_listen_where_the_answers_to_others_come(rights: BusRights) -> None:
    others = [one for one in SERVICES.values() if one is not rights]
    inboxes = [f"{one.inbox_prefix}.a.b" for one in others] + ["_INBOX.a.b"]
    heard = permissions_of(rights, SERVICES.values()).subscribe
    assert not [one for one in inboxes if any(matches(what.split()[0], one) for what in heard)]


@pytest.mark.parametrize("name", ["", "Caps", "a b", "a.b", "a*", ">", "-a", "a" * 41, 'a"'])
def test_an_outside_service_has_a_plain_name(name: str) -> None:
    for rights in (outside_rights, outside_tool_rights):
        with pytest.raises(ValueError, match="not a name"):
            rights(name)


def test_an_outside_service_starts_turns_follows_its_own_ingests_and_nothing_more() -> None:
    assert permissions_of(outside_rights("shop"), EVERYBODY) == Permissions(
        publish=(subjects.turn_submit("ext-shop"), subjects.RAG_ADD_DOCUMENT),
        subscribe=(
            subjects.turn_events_of("ext-shop"),
            subjects.turn_queues_of("ext-shop"),
            "_INBOX_ext-shop.>",
        ),
        may_respond=False,
    )


def test_an_outside_service_that_offers_tools_answers_its_own_calls_and_nothing_more() -> None:
    assert permissions_of(outside_tool_rights("shop"), EVERYBODY) == Permissions(
        publish=(subjects.tool_offered("tools-shop"),),
        subscribe=(
            f"{subjects.TOOL_DESCRIBE} tools-shop",
            f"{subjects.tool_calls_of('shop')} tools-shop",
            subjects.tool_given_up("tools-shop"),
            "_INBOX_tools-shop.>",
        ),
        may_respond=True,
    )


def test_no_two_users_may_answer_the_calls_of_a_tool_or_tell_of_the_other_s() -> None:
    users = (*EVERYBODY, outside_tool_rights("y"))
    for stem in (subjects.outside_tool_call("x", "1"), subjects.tool_offered("tools-x"), *BUILT_TOOLS):
        told = [one.name for one in users if stands_in(stem, (*one.answers, *one.publishes))]
        assert len(told) == 1, (stem, told)


@pytest.mark.parametrize(
    "rights", [SERVICES["browser"], SERVICES["npu"], OUTSIDE, OFFERING], ids=lambda one: str(one.name)
)
def test_nats_server_itself_answers_nothing_that_a_service_without_jetstream_sends(
    rights: BusRights,
) -> None:
    """It sends its answers wherever the asker says, unchecked: to a subject that purges streams as well."""
    published = permissions_of(rights, EVERYBODY).publish
    stored = [pattern for stream in STREAMS for pattern in stream.subjects]
    assert not [one for one in published if one.startswith((API, "$O", "$SYS"))]
    assert not [one for one in published if any(matches(pattern, one) for pattern in stored)]


def test_only_accounts_asks_for_all_of_a_user_and_only_a_gateway_overwrites_turns() -> None:
    verbs = {"export_user", "erase_user"}
    of_data_jobs = {one for one in BUILT.values() if isinstance(one, str) and one.rpartition(".")[2] in verbs}
    assert len(of_data_jobs) == 6
    for rights in EVERYBODY:
        asked = of_data_jobs & set(permissions_of(rights, EVERYBODY).publish)
        assert asked == (of_data_jobs if rights.name == "accounts" else set()), rights.name
        assert bool(rights.erases or rights.compacts) == (rights.name == "gateway"), rights.name
