"""The catalogue holds every subject, and agrees with the streams that messaging makes."""

import inspect
from collections.abc import Callable

import pytest
from parley_contracts import subjects
from parley_contracts.catalogue import CHANNELS, message_types
from parley_contracts.channel import CORE, Channel, ChannelKind
from parley_messaging.streams import STREAMS, matches, stream_of

every_channel = pytest.mark.parametrize("channel", CHANNELS, ids=lambda one: one.name)

CONSTANTS = {
    name: value
    for name, value in vars(subjects).items()
    if isinstance(value, str) and not name.startswith("_") and name != "PREFIX"
}
BUILDERS = {
    name: function
    for name, function in inspect.getmembers(subjects, inspect.isfunction)
    if not name.startswith(("_", "parse_")) and function.__module__ == subjects.__name__
}


def literal(pattern: str) -> str:
    return pattern.replace("*", "1")


def test_no_two_channels_share_a_subject_or_a_name() -> None:
    assert len({one.pattern for one in CHANNELS}) == len(CHANNELS)
    assert len({one.name for one in CHANNELS}) == len(CHANNELS)
    for channel in CHANNELS:
        assert [one.name for one in CHANNELS if matches(one.pattern, literal(channel.pattern))] == [
            channel.name
        ]


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_subject_has_a_channel(name: str) -> None:
    subject = CONSTANTS[name]
    assert subject.startswith(f"{subjects.PREFIX}.")
    assert any(one.pattern == subject or matches(subject, literal(one.pattern)) for one in CHANNELS)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_builder_builds_into_a_channel(name: str) -> None:
    builder: Callable[..., str] = BUILDERS[name]
    wanted = {
        parameter: 1 if parameter == "number" else "1" for parameter in inspect.signature(builder).parameters
    }
    built = builder(**wanted)
    (channel,) = (one for one in CHANNELS if matches(one.pattern, literal(built)))
    assert set(wanted) <= set(channel.parameters)


@every_channel
def test_every_channel_has_a_name_for_each_part_that_varies(channel: Channel) -> None:
    assert len(channel.parameters) == channel.pattern.split(".").count("*")
    assert "*" not in channel.address
    assert ">" not in channel.address


@every_channel
def test_what_carries_a_channel_is_what_messaging_makes(channel: Channel) -> None:
    stream = stream_of(literal(channel.pattern))
    assert channel.carried_by == (stream.name if stream else CORE)
    if stream is not None and stream.is_work_queue:
        assert channel.kind is ChannelKind.COMMAND


def test_every_stream_carries_a_channel() -> None:
    assert {one.name for one in STREAMS} == {one.carried_by for one in CHANNELS} - {CORE}


@every_channel
def test_requests_are_answered_and_nothing_else_is(channel: Channel) -> None:
    assert bool(channel.replies) == (channel.kind is ChannelKind.REQUEST)
    if channel.kind is ChannelKind.REQUEST:
        assert channel.carried_by == CORE


@every_channel
def test_every_channel_says_in_one_line_what_it_means(channel: Channel) -> None:
    assert channel.messages
    assert channel.sender
    assert channel.receiver
    assert channel.meaning.endswith((".", "?"))
    assert "\n" not in channel.meaning


def test_no_two_messages_share_a_name() -> None:
    names = [one.__name__ for one in message_types()]
    assert len(set(names)) == len(names)
