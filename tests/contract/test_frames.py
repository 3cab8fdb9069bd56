"""A turn event's frame: seq and type stand where a relay reads them without parsing."""

import json
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parley_contracts.catalogue import LOG_EVENTS, RELAYED_EVENTS, SOCKET
from parley_contracts.turn_events import (
    LOG_EVENT,
    TERMINAL_TYPES,
    EpochOpening,
    LogEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    TurnEvent,
    encode_event,
    frame_seq,
    frame_type,
    reasoning_delta_frame,
    text_delta_frame,
    tool_call_delta_frame,
)

from tests.contract.made_messages import made

every_event = pytest.mark.parametrize("event_type", LOG_EVENTS, ids=lambda one: one.__name__)
some_examples = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
any_text = st.text(max_size=40)


def type_of(event_type: type[Any]) -> str:
    return event_type.model_fields["type"].default


def test_the_catalogue_and_the_union_hold_the_same_events() -> None:
    assert set(get_args(get_args(LogEvent)[0])) == set(LOG_EVENTS)


@every_event
@some_examples
@given(data=st.data())
def test_every_frame_begins_with_seq_then_type(event_type: type[TurnEvent], data: st.DataObject) -> None:
    event = data.draw(made(event_type))
    frame = encode_event(event)
    assert frame.startswith(f'{{"seq":{event.seq},"type":"{type_of(event_type)}"'.encode())
    assert frame_seq(frame) == event.seq
    assert frame_type(frame) == type_of(event_type)
    assert LOG_EVENT.validate_json(frame) == event


@some_examples
@given(turn_id=any_text, seq=st.integers(0, 2**53 - 1), text=any_text)
def test_the_quick_way_to_a_text_delta_gives_the_same_frame(turn_id: str, seq: int, text: str) -> None:
    quick = text_delta_frame(json.dumps(turn_id, ensure_ascii=False).encode(), seq, text)
    assert LOG_EVENT.validate_json(quick) == TextDelta(seq=seq, turn_id=turn_id, text=text)
    assert (frame_seq(quick), frame_type(quick)) == (seq, "text_delta")


@some_examples
@given(turn_id=any_text, seq=st.integers(0, 2**53 - 1), text=any_text, index=st.integers(0, 2**31))
def test_the_quick_ways_to_what_is_not_said_give_the_same_frames(
    turn_id: str, seq: int, text: str, index: int
) -> None:
    turn_id_json = json.dumps(turn_id, ensure_ascii=False).encode()
    reasoning = reasoning_delta_frame(turn_id_json, seq, text)
    assert LOG_EVENT.validate_json(reasoning) == ReasoningDelta(seq=seq, turn_id=turn_id, text=text)
    called = tool_call_delta_frame(turn_id_json, seq, index, text)
    expected = ToolCallDelta(seq=seq, turn_id=turn_id, index=index, arguments=text)
    assert LOG_EVENT.validate_json(called) == expected
    assert [frame_type(one) for one in (reasoning, called)] == ["reasoning_delta", "tool_call_delta"]


@pytest.mark.parametrize("frame", [b"", b"{}", b'{"type":"pong"}', b'{"seq":x,"type":"y"}'])
def test_what_is_no_turn_event_has_no_seq(frame: bytes) -> None:
    with pytest.raises(ValueError, match=r"not found|invalid literal"):
        frame_seq(frame)


def test_terminal_events_open_an_epoch_and_nothing_else_ends_a_turn() -> None:
    openings = {type_of(one) for one in LOG_EVENTS if issubclass(one, EpochOpening)}
    assert openings == {*TERMINAL_TYPES, "epoch_started"}


def test_only_generation_finished_is_kept_from_clients_and_its_first_letter_tells_it() -> None:
    kept = {type_of(one) for one in set(LOG_EVENTS) - set(RELAYED_EVENTS)}
    assert kept == {"generation_finished"}
    assert [type_of(one) for one in SOCKET.to_client if type_of(one).startswith("g")] == []
