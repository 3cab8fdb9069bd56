"""One turn, one fault, at every operation of every process: the promises hold each time.

A small run lets each fault meet every third operation.
"""

import pytest

from tests.chaos.scale import scaled
from tests.protocol.cluster import GATEWAYS, ROLES, SHOP, WORKERS
from tests.protocol.schedule import run_schedule
from tests.protocol.sweep import (
    AT_ONCE_TURN,
    FAULTS,
    STOPPED_AT_ONCE,
    STOPPED_TOOLS,
    STOPPED_TURN,
    TOOLS_TURN,
    TURN,
    TWO_STARTS,
    sweep,
)

STEP = scaled(3, 1)


def test_a_turn_without_faults_asks_the_model_once_and_keeps_every_promise() -> None:
    verdict = run_schedule(*TURN)
    assert (verdict.violations, verdict.model_calls) == ([], 1)


def test_the_same_schedule_leads_to_the_same_operations() -> None:
    first, second = (run_schedule(*TURN, latency_s=0.002, seed=1) for _ in range(2))
    # Ids of inboxes are random; when and by whom something is done is not.
    assert [line.split()[:3] for line in first.trace] == [line.split()[:3] for line in second.trace]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_operation_breaks_no_promise(role: str, fault: str) -> None:
    assert list(sweep(role, FAULTS[fault], step=STEP)) == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_operation_of_a_turn_with_nothing_to_gather_breaks_no_promise(
    role: str, fault: str
) -> None:
    assert list(sweep(role, FAULTS[fault], AT_ONCE_TURN, step=STEP)) == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("fault", ["killed before", "stalled before", "with its answer lost"])
def test_a_fault_at_any_operation_of_such_a_turn_that_is_stopped_breaks_no_promise(
    role: str, fault: str
) -> None:
    assert list(sweep(role, FAULTS[fault], STOPPED_AT_ONCE, step=STEP)) == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("fault", ["killed before", "stalled before"])
def test_a_model_that_can_continue_changes_nothing_of_that(role: str, fault: str) -> None:
    assert list(sweep(role, FAULTS[fault], can_continue=True, step=STEP)) == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("fault", ["killed before", "stalled before", "with its answer lost"])
def test_a_fault_at_any_operation_of_a_stopped_turn_breaks_no_promise(role: str, fault: str) -> None:
    assert list(sweep(role, FAULTS[fault], STOPPED_TURN, step=STEP)) == []


@pytest.mark.parametrize("role", GATEWAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_operation_of_a_turn_started_twice_breaks_no_promise(role: str, fault: str) -> None:
    assert list(sweep(role, FAULTS[fault], TWO_STARTS, step=STEP)) == []


def test_a_turn_that_calls_tools_calls_each_once_and_keeps_every_promise() -> None:
    verdict = run_schedule(*TOOLS_TURN)
    assert (verdict.violations, verdict.model_calls, verdict.tool_calls) == ([], 2, 2)


@pytest.mark.parametrize("role", [*GATEWAYS, *WORKERS, SHOP])
@pytest.mark.parametrize("fault", ["killed before", "killed after", "stalled before", "with its answer lost"])
def test_a_fault_at_any_operation_of_a_turn_that_calls_tools_breaks_no_promise(role: str, fault: str) -> None:
    assert list(sweep(role, FAULTS[fault], TOOLS_TURN, step=STEP)) == []


@pytest.mark.parametrize("role", GATEWAYS)
@pytest.mark.parametrize("fault", ["killed before", "stalled before"])
def test_a_fault_at_any_operation_of_such_a_turn_that_is_stopped_while_they_are_called_breaks_no_promise(
    role: str, fault: str
) -> None:
    assert list(sweep(role, FAULTS[fault], STOPPED_TOOLS, step=STEP)) == []
