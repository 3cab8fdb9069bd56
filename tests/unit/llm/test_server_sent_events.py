"""Events out of bytes, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley_llm.backends.server_sent_events import MAX_EVENT_BYTES, EventReader, EventTooLongError

STREAM = 'data: {"a":1}\n\n: a comment\r\n\r\nevent: x\ndata:{"b":"é"}\r\n\r\ndata: [DONE]\n\n'.encode()
EVENTS = [b'{"a":1}', '{"b":"é"}'.encode(), b"[DONE]"]


@given(st.sets(st.integers(0, len(STREAM))))
def test_events_are_the_same_wherever_reads_are_cut(cuts: set[int]):
    reader = EventReader()
    places = [0, *sorted(cuts), len(STREAM)]

    pieces = [STREAM[start:end] for start, end in pairwise(places)]

    assert [event for piece in pieces for event in reader.feed(piece)] == EVENTS


def test_an_event_without_an_end_is_refused():
    reader = EventReader()
    reader.feed(b"data: " + b"x" * (MAX_EVENT_BYTES // 2))

    with pytest.raises(EventTooLongError):
        reader.feed(b"x" * MAX_EVENT_BYTES)
