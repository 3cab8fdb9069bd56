"""A watch whose log is gone gets how the turn ended instead, and never while the log can be read."""

import asyncio
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.turn_events import Sync, encode_event
from parley_contracts.turns import TurnOutcome
from parley_messaging import turn_log
from parley_messaging.bus import Bus
from parley_messaging.streams import TURN_EVENTS
from parley_messaging.turn_log import read_turn_log

from tests.unit.messaging.purging import purge
from tests.unit.messaging.test_turn_watch import HOME, Seen, delta, ending, opening, watching

END_SEQ = 2_000_000
EVENTS = [opening(1), delta(1_000_001), delta(1_000_002), ending(2, follows=1_000_002)]
SYNC = encode_event(
    Sync(seq=END_SEQ, turn_id="t", conversation_id="c", outcome=TurnOutcome.FAILED, text="xx")
)


class Endings:
    """Answers how the turn ended, and counts how often that is asked."""

    def __init__(self, frame: bytes | None = SYNC) -> None:
        self.frame = frame
        self.asked = 0
        self._changed = asyncio.Event()

    async def __call__(self) -> bytes | None:
        self.asked += 1
        self._changed.set()
        return self.frame

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(8):
            while self.asked < times:
                self._changed.clear()
                await self._changed.wait()


async def written(bus: Bus, events: list[bytes]) -> str:
    """Store a log and return its turn."""
    await bus.start()
    turn_id = uuid4().hex
    for event in events:
        await bus.store(subjects.turn_events(HOME, turn_id), event)
    return turn_id


@pytest.mark.parametrize("keep", [0, 1, 2])
@pytest.mark.parametrize("after_seq", [0, 1_000_000])
async def test_a_log_whose_beginning_is_gone_is_answered_by_the_ending(
    bus: Bus, keep: int, after_seq: int
) -> None:
    turn_id, seen, endings = await written(bus, EVENTS), Seen(), Endings()
    await purge(bus, TURN_EVENTS, subjects.turn_events(HOME, turn_id), keep=keep)
    async with watching(bus) as watches:
        watch = await watches.open(HOME, turn_id, after_seq, seen, endings)
        assert await seen.until_at(END_SEQ) == [END_SEQ]
        assert watch.is_finished
        await watches.close(watch)


@pytest.mark.parametrize("after_seq", [0, 1_000_001, 1_000_002, END_SEQ])
async def test_a_log_that_can_be_read_is_read(bus: Bus, after_seq: int) -> None:
    turn_id, seen, endings = await written(bus, EVENTS), Seen(), Endings()
    async with watching(bus) as watches, asyncio.timeout(8):
        watch = await watches.open(HOME, turn_id, after_seq, seen, endings)
        while not watch.is_finished:  # noqa: ASYNC110 - a watch tells its sink only, which may have nothing to hear
            await asyncio.sleep(0.01)
    assert seen.seqs == [seq for seq in (1_000_000, 1_000_001, 1_000_002, END_SEQ) if seq > after_seq]
    assert endings.asked == 0


async def test_what_is_left_of_a_log_suffices_for_who_has_read_the_rest(bus: Bus) -> None:
    turn_id, seen, endings = await written(bus, EVENTS), Seen(), Endings()
    await purge(bus, TURN_EVENTS, subjects.turn_events(HOME, turn_id), keep=2)
    async with watching(bus) as watches:
        await watches.open(HOME, turn_id, 1_000_001, seen, endings)
        assert await seen.until_at(END_SEQ) == [1_000_002, END_SEQ]
    assert endings.asked == 0


async def test_who_has_had_the_ending_gets_nothing_more(bus: Bus) -> None:
    turn_id, seen, endings = await written(bus, []), Seen(), Endings()
    async with watching(bus) as watches, asyncio.timeout(8):
        watch = await watches.open(HOME, turn_id, END_SEQ, seen, endings)
        while not watch.is_finished:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert seen.seqs == []


async def test_a_turn_that_waits_for_a_runner_is_watched_until_it_runs(bus: Bus) -> None:
    turn_id, seen, endings = await written(bus, []), Seen(), Endings(None)
    async with watching(bus) as watches:
        await watches.open(HOME, turn_id, 0, seen, endings)
        await endings.until_asked(1)
        # As if the look at its ending had lasted until the turn had run.
        endings.frame = SYNC
        for event in EVENTS:
            await bus.store(subjects.turn_events(HOME, turn_id), event)
        assert await seen.until_at(END_SEQ) == [1_000_000, 1_000_001, 1_000_002, END_SEQ]


async def test_a_log_that_appears_while_the_ending_is_looked_up_is_read(bus: Bus) -> None:
    turn_id, seen = await written(bus, []), Seen()
    subject = subjects.turn_events("elsewhere", turn_id)

    async def find_late() -> bytes:
        for event in EVENTS:
            await bus.store(subject, event)
        return SYNC

    async with watching(bus) as watches:
        await watches.open("elsewhere", turn_id, 0, seen, find_late)
        assert await seen.until_at(END_SEQ) == [1_000_000, 1_000_001, 1_000_002, END_SEQ]


async def test_an_ending_that_is_not_known_yet_is_asked_for_again(bus: Bus) -> None:
    turn_id, seen, endings = await written(bus, []), Seen(), Endings(None)
    async with watching(bus) as watches:
        await watches.open(HOME, turn_id, 0, seen, endings)
        await endings.until_asked(2)
        endings.frame = SYNC
        assert await seen.until_at(END_SEQ) == [END_SEQ]


async def test_a_running_turn_whose_beginning_is_gone_is_answered_when_it_ends(bus: Bus) -> None:
    turn_id, seen, endings = await written(bus, EVENTS[:-1]), Seen(), Endings()
    subject = subjects.turn_events(HOME, turn_id)
    await purge(bus, TURN_EVENTS, subject, keep=1)
    async with watching(bus) as watches:
        watch = await watches.open(HOME, turn_id, 0, seen, endings)
        await bus.store(subject, delta(1_000_003))
        await asyncio.sleep(0.2)  # time in which an answer would be wrong
        assert (seen.seqs, endings.asked, watch.is_catching_up) == ([], 0, True)
        await bus.store(subject, ending(2, follows=1_000_003))
        assert await seen.until_at(END_SEQ) == [END_SEQ]


async def test_a_hole_that_a_dead_writer_left_ends_what_its_successor_reads(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_log, "HOLE_S", 0.2)
    turn_id = await written(bus, [opening(1), delta(1_000_001), delta(1_000_003)])
    log = await read_turn_log(bus, HOME, turn_id)
    assert (log.text, log.last_seq) == ("x", 1_000_001)
