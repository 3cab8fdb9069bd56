"""Several turns, several processes, any faults: the promises hold when all has come to rest."""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.protocol.schedule import Action, run_schedule
from tests.protocol.schedules import schedules

EXAMPLES = int(os.environ.get("PARLEY_PROTOCOL_EXAMPLES", "300"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="PARLEY_PROTOCOL_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(schedules, st.booleans(), st.sampled_from([0.0, 0.002]), st.integers(0, 3))
def test_any_schedule_of_faults_leaves_each_turn_with_one_whole_ending(
    schedule: tuple[Action, ...], can_continue: bool, latency_s: float, seed: int
) -> None:
    verdict = run_schedule(*schedule, can_continue=can_continue, latency_s=latency_s, seed=seed)
    assert verdict.violations == []
