"""What hypothesis draws: schedules of starts, stops, watches and faults over several turns."""

from hypothesis import strategies as st

from tests.protocol.cluster import GATEWAYS, ROLES
from tests.protocol.planned_faults import Delay, Freeze, Kill, Lose, Refuse, Thaw
from tests.protocol.schedule import Action, Cancel, Pause, Plan, Start, Watch

TURNS = ("a", "b", "c")
MAX_ACTIONS = 12

_turns = st.sampled_from(TURNS)
_gateways = st.sampled_from(GATEWAYS)
_roles = st.sampled_from(ROLES)
_faults = st.one_of(
    st.builds(Kill, st.booleans()),
    st.builds(Lose, st.integers(1, 4), st.sampled_from(["", "hear", "publish", "in_progress", "store"])),
    st.builds(Delay, st.sampled_from([0.01, 0.6, 1.5, 4.0])),
    st.builds(Refuse),
    st.builds(Freeze, st.sampled_from([8.0, 3.0, 30.0]), st.booleans()),
    st.builds(Thaw, _roles, st.sampled_from([0.0, 2e-6, 1e-3])),
)
_actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(Plan, _roles, st.integers(1, 40), _faults),
    st.builds(Plan, _roles, st.integers(1, 40), _faults),
    st.builds(Start, _turns, _gateways),
    st.builds(Watch, _turns, _gateways, st.booleans()),
    st.builds(Cancel, _turns, _gateways),
    st.builds(Pause, st.sampled_from([0.01, 0.3, 1.0, 6.0])),
)
schedules = st.lists(_actions, min_size=1, max_size=MAX_ACTIONS).map(
    lambda actions: (Start("a", "gateway-1"), *actions)
)
"""A turn is started, and anything may follow; what a role's fault meets depends on what comes to pass."""
