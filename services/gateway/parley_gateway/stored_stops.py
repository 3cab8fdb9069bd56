"""The stop of a turn, as it stands beside the turn's pen."""

from contextlib import suppress

from parley_contracts import subjects
from parley_contracts.turns import CancelTurn, TurnRef
from parley_messaging import Bus
from parley_messaging.bus import AlreadyStoredError
from parley_messaging.message_headers import now_ms


async def store_stop(bus: Bus, ref: TurnRef) -> None:
    """Store the stop of a turn: it is heard each time, and kept once, so nobody fills the stream by one turn.

    Raises:
        NotStoredError: The bus does not say that it is stored.
    """
    stop = CancelTurn(turn=ref, cancelled_at_ms=now_ms())
    with suppress(AlreadyStoredError):
        await bus.store(subjects.turn_cancel(ref.turn_id), stop.model_dump_json().encode(), is_first=True)
