"""What the slots of a turn's pen say: who has held it, and whose job nobody has taken."""

from collections.abc import Sequence
from itertools import takewhile

from parley_contracts.turn_events import GenerationFinished
from parley_contracts.turns import EPOCH_SPAN, PenClaim, PenRole, Seal

from parley_gateway.running_turn import RunningTurn, SentJob

Records = Sequence[PenClaim | Seal]


def was_taken(records: Records, earlier: Sequence[GenerationFinished] = ()) -> bool:
    """Return whether a worker has held the pen of a turn since the last of `earlier` generations ended.

    He asks the model when he claims it.
    """
    behind = records[earlier[-1].seq // EPOCH_SPAN :] if earlier else records
    return any(isinstance(record, PenClaim) and record.role is PenRole.WORKER for record in behind)


def untaken_job(turn: RunningTurn, records: Records) -> SentJob | None:
    """Return the turn's job if no worker has claimed the turn by it: its claim is behind the base slot."""
    if turn.sent is None:
        return None
    return None if was_taken(records[turn.sent.base_slot :][:1]) else turn.sent


def runner_claims(records: Records) -> int:
    """Return how many runners in a row hold the pen last: each was gone before it could pass it on."""
    last = takewhile(lambda one: isinstance(one, PenClaim) and one.role is PenRole.RUNNER, reversed(records))
    return sum(1 for _ in last)
