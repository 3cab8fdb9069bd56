"""One owner at a time: who wins a slot, and who is told so."""

import asyncio
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import CancelTurn, PenClaim, PenRole, TurnRef
from parley_messaging import pen as pen_module
from parley_messaging.bus import Bus, NotStoredError, StoreAck, StoredMessage
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.pen import Pen, new_nonce


def claim(holder: str = "me") -> PenClaim:
    return PenClaim(nonce=new_nonce(), role=PenRole.RUNNER, holder=holder, home="home")


class LossyBus(MemoryBus):
    """Loses acknowledgements, and tells nothing while it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.loses_acknowledgements = 0
        self.stores_nothing = False
        self.unreadable = 0
        self.unreadable_after_loss = 0
        self.attempts = 0

    async def store(self, subject: str, data: bytes, **options: object) -> StoreAck:  # type: ignore[override]  # every option is passed on as it is
        self.attempts += 1
        if self.stores_nothing:
            raise NotStoredError(subject)
        ack = await super().store(subject, data, **options)  # type: ignore[arg-type]  # as above
        if self.loses_acknowledgements:
            self.loses_acknowledgements -= 1
            self.unreadable = self.unreadable_after_loss
            raise NotStoredError(subject)
        return ack

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        if self.unreadable:
            self.unreadable -= 1
            raise ParleyError(ErrorCode.UNAVAILABLE, "The turn log cannot be read now.")
        return await super().last_stored(stream, subject)


async def test_of_twenty_writers_one_wins_and_all_are_told_who(bus: Bus) -> None:
    await bus.start()
    pen, turn_id = Pen(bus), uuid4().hex
    claims = [claim(f"writer-{number}") for number in range(20)]
    standing = await asyncio.gather(*(pen.claim(turn_id, 1, one) for one in claims))
    assert len({found.nonce for found in standing}) == 1
    assert standing[0] in claims


async def test_a_win_whose_acknowledgement_is_lost_is_still_a_win() -> None:
    bus, mine = LossyBus(), claim()
    bus.loses_acknowledgements = 1
    assert await Pen(bus).claim("t1", 1, mine) == mine
    assert await Pen(bus).claim("t1", 1, claim("late")) == mine


async def test_a_lost_acknowledgement_while_nothing_can_be_read_is_still_a_win() -> None:
    bus, mine = LossyBus(), claim()
    bus.loses_acknowledgements, bus.unreadable_after_loss = 1, 1
    assert await Pen(bus).claim("t1", 1, mine) == mine


async def test_a_claim_that_cannot_be_established_says_so_and_does_not_hammer_the_bus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pen_module, "CLAIM_TIMEOUT_S", 0.3)
    bus = LossyBus()
    bus.stores_nothing, bus.unreadable = True, 1000
    with pytest.raises(NotStoredError):
        await Pen(bus).claim("t1", 1, claim())
    assert 2 <= bus.attempts <= 5


async def test_all_records_up_to_the_first_free_slot_are_read_in_order(bus: Bus) -> None:
    await bus.start()
    pen, turn_id = Pen(bus), uuid4().hex
    claims = [claim(f"writer-{number}") for number in range(3)]
    for number, one in enumerate(claims, start=1):
        await pen.claim(turn_id, number, one)
    await pen.claim(turn_id, 5, claim("after a free slot"))
    assert await pen.read_all(turn_id) == claims
    assert await pen.read_all(uuid4().hex) == []


async def test_a_stored_stop_is_found_by_its_turn_only(bus: Bus) -> None:
    await bus.start()
    pen, turn_id = Pen(bus), uuid4().hex
    ref = TurnRef(turn_id=turn_id, client_turn_id="c", owner_id="o", home="h")
    stop = CancelTurn(turn=ref, cancelled_at_ms=1)
    await bus.store(subjects.turn_cancel(turn_id), stop.model_dump_json().encode())
    assert await pen.is_cancelled(turn_id)
    assert not await pen.is_cancelled(uuid4().hex)


async def test_a_read_that_fails_is_tried_again_while_its_time_lasts() -> None:
    bus, turn_id = LossyBus(), uuid4().hex
    pen = Pen(bus)
    mine = claim()
    await pen.claim(turn_id, 1, mine)
    bus.unreadable = 3
    assert await pen.read(turn_id, 1) == mine
    bus.unreadable = 3
    assert not await pen.is_cancelled(turn_id)
    bus.unreadable = 1_000_000
    with pytest.raises(ParleyError):
        await pen.is_cancelled(turn_id, within_s=0.25)
    assert 1_000_000 - bus.unreadable >= 2


async def test_a_client_that_waits_is_told_at_the_first_read_that_fails() -> None:
    bus = LossyBus()
    bus.unreadable = 2
    with pytest.raises(ParleyError):
        await Pen(bus).read(uuid4().hex, 1, within_s=0)
    assert bus.unreadable == 1
