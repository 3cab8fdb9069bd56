"""Events out of bytes, however they are written and cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley_llm.backends.byte_records import MAX_RECORD_BYTES, RecordTooLongError
from parley_llm.backends.server_sent_events import EventReader

STREAM = (
    'data: {"a":1}\n\n: a comment\r\n\r\n\n\nevent: x\ndata:{"b":"é"}\r\n\r\n'
    "data: one\r\ndata:  two\r\rid: 3\n\ndata\ndatum: 4\n\ndata: [DONE]\n\ndata: last"
).encode()
EVENTS = [b'{"a":1}', '{"b":"é"}'.encode(), b"one\n two", b"[DONE]", b"last"]


@given(st.sets(st.integers(0, len(STREAM))))
def test_events_are_the_same_wherever_reads_are_cut(cuts: set[int]):
    reader = EventReader()
    places = [0, *sorted(cuts), len(STREAM)]

    pieces = [STREAM[start:end] for start, end in pairwise(places)]

    assert [event for piece in pieces for event in reader.feed(piece)] + reader.close() == EVENTS


def test_an_event_without_an_end_is_refused():
    reader = EventReader()
    reader.feed(b"data: " + b"x" * (MAX_RECORD_BYTES // 2))

    with pytest.raises(RecordTooLongError):
        reader.feed(b"x" * MAX_RECORD_BYTES)
