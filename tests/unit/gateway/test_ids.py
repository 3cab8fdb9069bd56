"""Ids prove whose they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley_contracts import subjects
from parley_gateway.ids import OwnedIds

IDS = OwnedIds(b"secret")
NAMES = st.text(min_size=1, max_size=40)


@given(owner=NAMES, turn=NAMES)
def test_a_turn_id_is_a_subject_part_and_the_same_every_time(owner: str, turn: str) -> None:
    turn_id = IDS.turn_id(owner, turn)
    assert turn_id == IDS.turn_id(owner, turn)
    assert subjects.parse_turn_cancel(subjects.turn_cancel(turn_id)) == turn_id


@given(owner=NAMES, other=NAMES, turn=NAMES)
def test_one_owners_turn_id_is_never_anothers(owner: str, other: str, turn: str) -> None:
    if owner != other:
        assert IDS.turn_id(owner, turn) != IDS.turn_id(other, turn)


@pytest.mark.parametrize(("one", "two"), [(("ab", "c"), ("a", "bc")), (("a:b", "c"), ("a", "b:c"))])
def test_parts_cannot_be_moved_between_owner_and_turn(one: tuple[str, str], two: tuple[str, str]) -> None:
    assert IDS.turn_id(*one) != IDS.turn_id(*two)


def test_a_conversation_belongs_to_its_owner_only() -> None:
    mine = IDS.new_conversation_id("me")
    assert IDS.owns_conversation("me", mine)
    assert not IDS.owns_conversation("you", mine)
    assert not OwnedIds(b"other secret").owns_conversation("me", mine)


@given(text=st.text(max_size=64))
def test_no_made_up_conversation_id_belongs_to_anybody(text: str) -> None:
    assert not IDS.owns_conversation("me", text)


def test_the_same_seed_gives_the_same_conversation() -> None:
    assert IDS.new_conversation_id("me", seed="t") == IDS.new_conversation_id("me", seed="t")
    assert IDS.new_conversation_id("me") != IDS.new_conversation_id("me")
