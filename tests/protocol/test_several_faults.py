"""Faults that meet one turn together: the promises hold, and the turn ends before its deadline."""

import pytest

from tests.protocol.planned_faults import Freeze
from tests.protocol.schedule import Plan, Start, run_schedule
from tests.protocol.several_faults import (
    DIES_FINISHED,
    END_BEFORE_REPEATS,
    LATE_ACKNOWLEDGEMENT,
    NO_HEARTBEATS,
    STALE_WORKER,
    WAKES_IN_TIME,
    together,
)


def test_a_stalled_worker_that_wakes_up_takes_no_job_from_his_successor() -> None:
    assert list(together(STALE_WORKER, 1.5, may_ask_again=True)()) == []


def test_lost_heartbeats_bring_no_second_answer() -> None:
    assert list(together(NO_HEARTBEATS, 3.0)()) == []


def test_an_answer_that_is_finished_is_not_asked_for_again() -> None:
    assert list(together(DIES_FINISHED, may_ask_again=True)()) == []


def test_a_hole_that_only_live_readers_can_close_hides_the_end_from_nobody() -> None:
    assert list(together(LATE_ACKNOWLEDGEMENT[::6])()) == []


def test_repeats_after_the_end_hide_it_from_nobody() -> None:
    assert list(together(END_BEFORE_REPEATS)()) == []


@pytest.mark.parametrize("latency_s", [0.0, 0.001])
def test_a_stalled_worker_that_finishes_just_before_his_successor_writes_leaves_one_text(
    latency_s: float,
) -> None:
    assert list(together(WAKES_IN_TIME, may_ask_again=True, latency_s=latency_s)()) == []


def test_memory_that_does_not_answer_delays_the_end_by_its_budget_only() -> None:
    verdict = run_schedule(Plan("memory", 2, Freeze(30.0)), Start("a", "gateway-1"))
    assert verdict.violations == []
    assert verdict.ended_s < 4.0
