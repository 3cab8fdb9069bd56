"""How long the supervisor waits before it starts a process again."""

from parley_cli.supervisor.back_off import LONGEST_DELAY_S, BackOff


def test_the_wait_grows_with_every_crash_and_has_an_upper_bound() -> None:
    back_off = BackOff()
    waits = [back_off.crashed(float(second)) for second in range(10)]
    assert waits[0] < 0.2
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_DELAY_S


def test_three_crashes_within_a_minute_are_a_loop_and_three_in_an_hour_are_not() -> None:
    hasty, rare = BackOff(), BackOff()
    for number in range(3):
        hasty.crashed(number * 1.0)
        rare.crashed(number * 1200.0)
    assert hasty.is_loop
    assert not rare.is_loop


def test_a_process_that_stayed_up_starts_again_at_once() -> None:
    back_off = BackOff()
    for second in range(5):
        back_off.crashed(float(second))
    assert back_off.crashed(500.0) == BackOff().crashed(0.0)
