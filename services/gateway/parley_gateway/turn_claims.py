"""For whom a turn that was taken off its queue is run, by the claims that it came with."""

from parley_contracts import headers, subjects
from parley_contracts.claims import Acting
from parley_messaging import QueuedJob
from parley_messaging.claims_desk import ClaimsDesk

from parley_gateway.running_turn import RunningTurn


def acting_of(desk: ClaimsDesk, turn: RunningTurn, delivery: QueuedJob) -> Acting:
    """Return for whom a turn is run; its job carries the claims on.

    Where no claims are checked it is run for its owner as a guest: the door has asked for more.

    Raises:
        RefusedClaimsError: Nobody vouches for its command.
    """
    ref = turn.command.turn
    acting = desk.check_turn(subjects.ALL_TURN_STARTS, ref.owner_id, ref.turn_id, delivery.headers)
    if text := delivery.headers.get(headers.CLAIMS):
        turn.claims = {headers.CLAIMS: text}
    return acting or Acting(ref.owner_id)
