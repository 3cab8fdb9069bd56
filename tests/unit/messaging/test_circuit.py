"""A part that keeps callers waiting is skipped, and used again as soon as it answers."""

import asyncio

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.circuit import COOL_DOWN_S, FAILURES, MAX_COOL_DOWN_S, Circuit, Circuits, CircuitState

BUDGET_S = 1.0


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Part:
    """A circuit, and calls through it that end as the test says."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.circuit = Circuit("part", clock=self.clock)

    def call(self, *, took_s: float = 0.0, error: ErrorCode | None = None) -> None:
        with self.circuit.passing(BUDGET_S):
            self.clock.now_s += took_s
            if error is not None:
                raise ParleyError(error, "it failed")

    def fail(self, *, took_s: float = BUDGET_S, error: ErrorCode = ErrorCode.TIMEOUT) -> None:
        with pytest.raises(ParleyError) as caught:
            self.call(took_s=took_s, error=error)
        assert caught.value.message == "it failed"

    def is_skipped(self) -> bool:
        skipped = self.circuit.skipped
        try:
            self.call()
        except ParleyError as error:
            return error.code is ErrorCode.UNAVAILABLE and self.circuit.skipped == skipped + 1
        return False

    def open(self) -> None:
        for _ in range(FAILURES):
            self.fail()
        assert self.circuit.state is CircuitState.OPEN


def test_a_part_that_lets_callers_wait_several_times_in_a_row_is_skipped() -> None:
    part = Part()
    for _ in range(FAILURES - 1):
        part.fail()
    assert not part.is_skipped()
    part.open()
    assert part.is_skipped()


def test_an_answer_between_two_failures_starts_the_count_anew() -> None:
    part = Part()
    for _ in range(FAILURES * 2):
        part.fail()
        part.call()
    assert part.circuit.state is CircuitState.CLOSED


@pytest.mark.parametrize("error", [ErrorCode.TIMEOUT, ErrorCode.UNAVAILABLE])
def test_what_is_known_at_once_to_be_away_is_asked_on(error: ErrorCode) -> None:
    part = Part()
    for _ in range(FAILURES * 2):
        part.fail(took_s=BUDGET_S / 10, error=error)
    assert not part.is_skipped()


def test_an_error_of_its_own_after_the_whole_budget_is_an_answer() -> None:
    part = Part()
    for _ in range(FAILURES * 2):
        part.fail(error=ErrorCode.NOT_FOUND)
    assert not part.is_skipped()


def test_after_a_while_one_call_is_let_through_and_its_answer_closes_the_circuit() -> None:
    part = Part()
    part.open()
    part.clock.now_s += COOL_DOWN_S
    with part.circuit.passing(BUDGET_S):
        assert part.circuit.state is CircuitState.PROBING
        assert part.is_skipped()
    assert part.circuit.state is CircuitState.CLOSED
    assert not part.is_skipped()


def test_a_probe_that_waits_in_vain_doubles_the_time_to_the_next_up_to_a_limit() -> None:
    part = Part()
    part.open()
    cool_down_s = COOL_DOWN_S
    for _ in range(8):
        part.clock.now_s += cool_down_s - 0.1
        assert part.is_skipped()
        part.clock.now_s += 0.1
        part.fail()
        cool_down_s = min(MAX_COOL_DOWN_S, cool_down_s * 2)
    part.clock.now_s += cool_down_s
    part.call()
    part.open()
    part.clock.now_s += COOL_DOWN_S
    assert not part.is_skipped()


async def test_a_probe_that_is_cancelled_says_nothing_and_the_next_call_is_one() -> None:
    part = Part()
    part.open()
    part.clock.now_s += COOL_DOWN_S

    async def probe() -> None:
        with part.circuit.passing(BUDGET_S):
            await asyncio.Event().wait()

    task = asyncio.create_task(probe())
    await asyncio.sleep(0)
    assert part.circuit.state is CircuitState.PROBING
    task.cancel()
    await asyncio.wait([task])
    assert part.circuit.state is CircuitState.OPEN
    assert not part.is_skipped()


def test_late_failures_of_calls_from_before_leave_an_open_circuit_as_it_is() -> None:
    part = Part()
    slow = part.circuit.passing(BUDGET_S)
    slow.__enter__()
    part.open()
    part.clock.now_s += COOL_DOWN_S
    error = ParleyError(ErrorCode.TIMEOUT, "it failed")
    assert not slow.__exit__(ParleyError, error, None)
    assert not part.is_skipped()


def test_everybody_in_a_process_asks_a_part_through_the_same_circuit() -> None:
    circuits = Circuits()
    assert circuits.to("rag") is circuits.to("rag")
    assert circuits.to("rag") is not circuits.to("npu")
    assert circuits.states == {"rag": "closed", "npu": "closed"}
    assert circuits.skipped == {"rag": 0.0, "npu": 0.0}
