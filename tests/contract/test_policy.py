"""Every subject and permission stands in the policy; a new one that nobody has thought of fails here."""

from parley_contracts.catalogue import CHANNELS
from parley_contracts.channel import Channel, ChannelKind
from parley_contracts.model import OwnedRequest
from parley_contracts.policy import Permission
from parley_contracts.route_policy import ENTRANCES, OPEN_ROUTES, ROUTES, WHOLE_ROUTES
from parley_contracts.subject_policy import OF_OTHERS, SUBJECTS, Standing

TOLD = {ChannelKind.EVENT, ChannelKind.CLAIM}
OF_A_TURN = {"TURNS", "TURN_PEN", "LLM_JOBS"}
"""Streams whose commands name their owner in the turn that they are about."""


def names_an_owner(channel: Channel) -> bool:
    return channel.carried_by in OF_A_TURN or all(issubclass(one, OwnedRequest) for one in channel.messages)


def test_every_channel_is_listed_and_nothing_else() -> None:
    assert set(SUBJECTS) == {one.pattern for one in CHANNELS}
    assert set(OF_OTHERS) <= set(SUBJECTS)


def test_what_is_told_needs_no_permission_and_everything_else_is_somebodys_or_says_why_not() -> None:
    for channel in CHANNELS:
        need = SUBJECTS[channel.pattern]
        assert (need is Standing.TOLD) == (channel.kind in TOLD), channel.pattern
        if channel.kind not in TOLD:
            assert isinstance(need, Permission) == names_an_owner(channel), channel.pattern


def test_every_permission_opens_a_route() -> None:
    assert {need for needs in ROUTES.values() for need in needs} == set(Permission)


def test_no_route_is_both_open_and_guarded() -> None:
    assert set(ROUTES) >= WHOLE_ROUTES
    assert not set(ROUTES) & OPEN_ROUTES
    assert ENTRANCES < OPEN_ROUTES
