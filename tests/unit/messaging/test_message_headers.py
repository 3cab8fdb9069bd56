"""Trace, correlation and deadline from hop to hop."""

import re

import pytest
from parley_contracts import headers
from parley_messaging.message_headers import incoming, now_ms, outgoing
from parley_messaging.trace_context import (
    TraceContext,
    continued,
    correlated,
    current,
    new_trace,
    working_in,
)

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")


def test_a_message_sent_outside_of_any_work_begins_a_trace() -> None:
    sent = outgoing()
    assert TRACEPARENT.fullmatch(sent[headers.TRACEPARENT])
    assert headers.DEADLINE not in sent
    assert headers.CAUSATION_ID not in sent


def test_the_next_hop_continues_the_trace_and_names_its_cause() -> None:
    with working_in(correlated("turn-1")) as first:
        sent = outgoing()
    received = incoming(sent)
    assert (received.trace_id, received.correlation_id) == (first.trace_id, "turn-1")
    assert received.span_id != first.span_id
    with working_in(received):
        onward = outgoing()
    assert onward[headers.CAUSATION_ID] == sent[headers.MESSAGE_ID]
    assert onward[headers.MESSAGE_ID] != sent[headers.MESSAGE_ID]
    assert onward[headers.CORRELATION_ID] == "turn-1"


def test_a_deadline_is_never_later_than_that_of_the_work_it_is_sent_from() -> None:
    soon = now_ms() + 1000
    with working_in(TraceContext("a" * 32, "b" * 16, deadline_ms=soon)):
        assert int(outgoing(60)[headers.DEADLINE]) == soon
        assert int(outgoing(0.1)[headers.DEADLINE]) < soon
        assert int(outgoing()[headers.DEADLINE]) == soon


def test_extra_headers_come_along() -> None:
    assert outgoing(extra={headers.TURN: "t"})[headers.TURN] == "t"


@pytest.mark.parametrize(
    "traceparent", [None, "", "00-short", f"00-{'A' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-01\n"]
)
def test_a_malformed_traceparent_begins_a_new_trace(traceparent: str | None) -> None:
    found = continued(traceparent, "turn-1")
    assert TRACEPARENT.fullmatch(found.traceparent)
    assert found.trace_id != "a" * 32
    assert found.correlation_id == "turn-1"


@pytest.mark.parametrize("deadline", ["", "never", "-1", "1.5", "9" * 5000])
def test_a_malformed_deadline_is_none(deadline: str) -> None:
    assert incoming({headers.DEADLINE: deadline}).deadline_ms is None


def test_the_context_ends_with_the_work() -> None:
    with working_in(new_trace()) as outer:
        with working_in(new_trace()) as inner:
            assert current() == inner
        assert current() == outer
    assert current() is None
