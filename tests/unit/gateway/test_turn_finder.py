"""Turns are found by their id alone."""

import asyncio
from uuid import uuid4

from parley_contracts import subjects
from parley_contracts.turns import PenClaim, PenRole
from parley_gateway.turn_finder import FIND_S, TurnFinder
from parley_messaging.bus import StoredMessage
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.pen import Pen


class SlowReads(MemoryBus):
    """A bus that answers reads later than a turn is looked for."""

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        await asyncio.sleep(FIND_S * 1.2)
        return await super().last_stored(stream, subject)


async def test_a_turn_is_found_however_slowly_the_bus_answers() -> None:
    bus, turn_id = SlowReads(), uuid4().hex
    await bus.start()
    claim = PenClaim(nonce="n", role=PenRole.RUNNER, holder="h", home="gateway-1")
    await bus.store(subjects.pen_slot(turn_id, 1), claim.model_dump_json().encode())
    found = await TurnFinder(bus, Pen(bus)).find_soon(turn_id)
    assert found is not None
    assert found.home == "gateway-1"
    await bus.close()
