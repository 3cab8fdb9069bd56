"""The measures of the soak see what stays: descriptors of a process, and growth between two footprints."""

import gc
import os
import socket
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.footprint import (
    OPEN_GAUGES,
    TASKS,
    BusFootprint,
    Footprint,
    ProcessFootprint,
    process_footprint,
)
from tests.chaos.growth import DESCRIPTORS_SLACK, LEGEND, MAX_DATABASES, growth, memory_growth, table

pytestmark = pytest.mark.chaos

PROCESS = ProcessFootprint(rss_mib=100.0, descriptors=20, sockets=5, tasks=30, subscriptions=9, open=0)
BUS = BusFootprint(
    connections=7, subscriptions=100, consumers=4, streams=7, turn_events=0, turn_events_mib=0.0
)
START = Footprint({"nats": PROCESS, "llm-0": PROCESS}, BUS)


def after(name: str, **changes: Any) -> Footprint:
    """Return the start with one process changed."""
    return Footprint({**START.processes, name: replace(PROCESS, **changes)}, BUS)


@pytest.mark.parametrize("what", ["tasks", "subscriptions", "open"])
def test_one_more_of_what_a_turn_opens_is_growth(what: str):
    [found] = growth(START, after("llm-0", **{what: getattr(PROCESS, what) + 1}))

    assert found.startswith(f"llm-0: {what} ")


@pytest.mark.parametrize("what", ["descriptors", "sockets"])
def test_descriptors_may_differ_by_the_slack_and_no_more(what: str):
    count = getattr(PROCESS, what) + DESCRIPTORS_SLACK

    assert growth(START, after("llm-0", **{what: count})) == []
    assert len(growth(START, after("llm-0", **{what: count + 1}))) == 1


@pytest.mark.parametrize("what", ["connections", "subscriptions", "consumers", "streams"])
def test_one_more_on_the_bus_is_growth(what: str):
    end = Footprint(START.processes, replace(BUS, **{what: getattr(BUS, what) + 1}))

    assert len(growth(START, end)) == 1


def test_memory_may_grow_by_noise_and_no_more():
    assert memory_growth(START, after("llm-0", rss_mib=117.9), turns=1000) == []
    assert memory_growth(START, after("llm-0", rss_mib=118.1), turns=1000) == ["llm-0: 100.0 -> 118.1 MiB"]


def test_nats_server_may_grow_with_the_turns_that_it_keeps():
    assert memory_growth(START, after("nats", rss_mib=149.0), turns=1000) == []
    assert len(memory_growth(START, after("nats", rss_mib=149.0), turns=0)) == 1


def test_what_ends_is_no_growth():
    assert growth(START, after("llm-0", tasks=1, subscriptions=0, descriptors=3, sockets=1)) == []


def test_open_sockets_of_a_process_are_counted():
    # What nobody uses any more is closed now, and not while it is counted.
    gc.collect()
    before = process_footprint(os.getpid(), {}, 0)
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(socket.socket())
        during = process_footprint(os.getpid(), {}, 0)

    assert (during.sockets, during.descriptors) == (before.sockets + 3, before.descriptors + 3)
    assert during.rss_mib > 1


def test_databases_may_have_as_many_descriptors_as_their_pool_and_no_more():
    assert growth(START, after("llm-0", databases=MAX_DATABASES)) == []
    assert len(growth(START, after("llm-0", databases=MAX_DATABASES + 1))) == 1


def test_what_a_turn_opens_is_the_sum_of_its_gauges():
    gauges = {TASKS: 30.0, **dict.fromkeys(OPEN_GAUGES, 1.0)}
    found = process_footprint(os.getpid(), gauges, 9)

    assert (found.tasks, found.subscriptions, found.open) == (30, 9, len(OPEN_GAUGES))


def test_the_table_has_a_line_for_each_process_two_for_the_bus_and_its_legend():
    lines = table(START, START, after("llm-0", tasks=31)).splitlines()

    assert len(lines) == 1 + len(START.processes) + 2 + len(LEGEND.splitlines())
    assert "30 -> 31" in next(line for line in lines if line.startswith("llm-0"))
