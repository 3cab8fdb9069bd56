"""When what failed is tried again, by a clock and a chance that are passed in."""

from itertools import pairwise

import pytest
from parley_accounts.notices.retries import (
    FIRST_DELAY_MS,
    GIVE_UP_MS,
    LONGEST_ASKED_MS,
    LONGEST_DELAY_MS,
    delay_ms,
    next_try_ms,
)


def middle() -> float:
    return 0.5


def schedule(chance: float) -> list[int]:
    """Return when attempts are made, from the first at 0 until the delivery is given up."""
    at_ms, tries = 0, [0]
    while True:
        again = next_try_ms(len(tries), now_ms=at_ms, gives_up_at_ms=GIVE_UP_MS, random=lambda: chance)
        if again is None:
            return tries
        tries.append(at_ms := again)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_a_day_of_attempts_begins_within_seconds_and_grows_to_hours(chance: float) -> None:
    tries = schedule(chance)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps[0] <= 1.25 * FIRST_DELAY_MS
    assert gaps == sorted(gaps)
    assert max(gaps) <= 1.25 * LONGEST_DELAY_MS
    assert tries[-1] <= GIVE_UP_MS < tries[-1] + 1.25 * LONGEST_DELAY_MS
    assert 10 <= len(tries) <= 16


def test_what_failed_at_once_is_not_tried_again_at_once() -> None:
    assert {delay_ms(3, lambda chance=chance: chance / 10) for chance in range(11)} == set(
        range(33_750, 56_251, 2250)
    )


def test_a_server_may_ask_for_a_later_attempt_but_not_for_days() -> None:
    assert delay_ms(1, middle, asked_s=60) == 60_000
    assert delay_ms(1, middle, asked_s=1) == FIRST_DELAY_MS
    assert delay_ms(1, middle, asked_s=10**9) == LONGEST_ASKED_MS


def test_a_very_large_number_of_attempts_waits_no_longer_than_the_longest() -> None:
    assert delay_ms(10_000, middle) == LONGEST_DELAY_MS
