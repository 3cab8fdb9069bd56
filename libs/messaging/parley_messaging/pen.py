"""The pen of a turn: numbered slots, each won by one writer. Winning slot n makes its epoch n.

Only "nothing is there yet" is ever expected of a slot: a create has exactly one winner, an update on a
replicated stream may have several.
"""

import asyncio
from uuid import uuid4

from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.turns import PEN_RECORD, PenClaim, Seal

from parley_messaging.bus import AlreadyStoredError, Bus, NotStoredError, StoredMessage
from parley_messaging.streams import TURN_PEN

CLAIM_TIMEOUT_S = 10.0
ACK_TIMEOUT_S = 2.0
PAUSE_S = 0.1
READ_S = 30.0
"""How long a read of the pen is tried while the bus is away: failing the work on a turn would cost more."""


def new_nonce() -> str:
    """Return what tells one attempt at a slot from every other."""
    return uuid4().hex


class Pen:
    """Claims and reads the slots of any turn."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def claim(self, turn_id: str, number: int, record: PenClaim | Seal) -> PenClaim | Seal:
        """Try to put `record` into slot `number`.

        Returns:
            What stands in the slot now; it is ours if it carries our nonce. After anything else the
            caller stops writing.

        Raises:
            NotStoredError: Neither a win nor a loss could be established in time.
        """
        subject, data = subjects.pen_slot(turn_id, number), record.model_dump_json().encode()
        deadline_s = asyncio.get_running_loop().time() + CLAIM_TIMEOUT_S
        while True:
            try:
                await self._bus.store(subject, data, is_first=True, timeout_s=ACK_TIMEOUT_S)
                return record
            except (AlreadyStoredError, NotStoredError) as error:
                # Ours after all, when an attempt was stored and its acknowledgement lost.
                if (standing := await self._read_if_possible(turn_id, number)) is not None:
                    return standing
                if asyncio.get_running_loop().time() > deadline_s:
                    raise NotStoredError(f"slot {number} of a pen is not known") from error
            await asyncio.sleep(PAUSE_S)

    async def _read_if_possible(self, turn_id: str, number: int) -> PenClaim | Seal | None:
        try:
            return await self.read(turn_id, number, within_s=0)
        except ParleyError:
            return None

    async def read(self, turn_id: str, number: int, *, within_s: float = READ_S) -> PenClaim | Seal | None:
        """Return what stands in slot `number`, or None while it is free.

        Raises:
            ParleyError: `unavailable` when the bus could not be read `within_s`; 0 tries once.
        """
        found = await self._last_stored(subjects.pen_slot(turn_id, number), within_s)
        return None if found is None else PEN_RECORD.validate_json(found.data)

    async def read_all(self, turn_id: str) -> list[PenClaim | Seal]:
        """Return the records of slots 1, 2, ... up to the first free one."""
        records: list[PenClaim | Seal] = []
        while (record := await self.read(turn_id, len(records) + 1)) is not None:
            records.append(record)
        return records

    async def is_cancelled(self, turn_id: str, *, within_s: float = READ_S) -> bool:
        """Return whether a stop of the turn is stored (ParleyError as `read`)."""
        return await self._last_stored(subjects.turn_cancel(turn_id), within_s) is not None

    async def _last_stored(self, subject: str, within_s: float) -> StoredMessage | None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while True:
            try:
                return await self._bus.last_stored(TURN_PEN, subject)
            except ParleyError:
                if loop.time() >= deadline_s:
                    raise
            await asyncio.sleep(PAUSE_S)
