"""Turns of one who is erased are stopped, end once, and leave nothing in the streams."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from parley_contracts import stream_names, subjects
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.data_rights import ErasedPart, EraseUser
from parley_contracts.policy import Role
from parley_contracts.turn_events import TurnCancelled, TurnCompleted
from parley_gateway import forgotten_visitors, turn_erasure, turn_stopper
from parley_gateway.principal import Principal
from parley_messaging.bus import Bus
from parley_messaging.erasing import erase_subject
from parley_messaging.nats_bus import NatsBus
from parley_messaging.queues import FETCH_S, llm_jobs

from tests.integration.waiting import eventually
from tests.unit.gateway.rig import OWNER, Rig, Seen, running
from tests.unit.messaging.test_erasing import found_in

BOT = "b" * 32
VISITOR = Principal(f"visitor-{BOT}-{'0' * 32}", Role.GUEST)
OTHER = Principal("owner-2", Role.OWNER)
SECRET = "Where does Rosebud live?"


@pytest.fixture(autouse=True)
async def empty_queues(request: pytest.FixtureRequest) -> None:
    """Remove jobs that other tests have left on the server: an erasure waits for older ones."""
    if request.node.get_closest_marker("nats") is None:
        return
    nats = NatsBus(request.getfixturevalue("nats_url"), name="test", grace_s=2)
    await nats.start()
    for stream in turn_erasure.QUEUES:
        jetstream = nats.connection.jetstream()  # pyright: ignore[reportUnknownMemberType] - nats-py leaves arguments untyped
        await jetstream.purge_stream(stream)
    await nats.close()


async def ask(rig: Rig, who: Principal, text: str = SECRET) -> tuple[str, Seen]:
    seen = Seen()
    accepted = await rig.first.door.start(who, StartTurnFrame(type="start_turn", text=text), seen.take)
    return accepted.ref.turn_id, seen


async def erase(rig: Rig, *bots: str, limit: int = 1) -> dict[str, int]:
    """Erase part by part until nothing is left, as a job does; return what was removed."""
    counts: dict[str, int] = {}
    cursor: str | None = None
    async with asyncio.timeout(20):
        while True:
            request = EraseUser(owner_id=OWNER.owner_id, bot_ids=bots, limit=limit, cursor=cursor)
            part: ErasedPart = await rig.second.parts.erasure.erase(request)
            for one in part.removed:
                counts[one.place] = counts.get(one.place, 0) + one.count
            cursor = part.next_cursor
            if cursor is None and part.is_done:
                return counts
            if cursor is None:
                await asyncio.sleep(0.05)


async def is_kept(bus: Bus, turn_id: str) -> list[bool]:
    """Return of each stream whether it holds something of a turn."""
    kept = (
        (stream_names.TURN_PEN, subjects.pen_slots_of(turn_id)),
        (stream_names.TURN_EVENTS, subjects.turn_events("gateway-1", turn_id)),
        (stream_names.TURNS, subjects.turn_start(turn_id)),
        (stream_names.TURN_PEN, subjects.turn_cancel(turn_id)),
    )
    return [await bus.next_stored(stream, subject, 1) is not None for stream, subject in kept]


async def is_acknowledged(bus: Bus, turn_id: str) -> None:
    async def is_so() -> bool:
        return await bus.last_stored(stream_names.TURNS, subjects.turn_start(turn_id)) is None

    await eventually(is_so)


async def test_turns_that_have_ended_leave_nothing_and_those_of_others_stay(bus: Bus) -> None:
    async with running(bus) as rig:
        gone = [await ask(rig, OWNER) for _ in range(3)]
        kept = await ask(rig, OTHER)
        for turn_id, seen in (*gone, kept):
            assert isinstance(await seen.ended(), TurnCompleted)
            await is_acknowledged(bus, turn_id)
        counts = await erase(rig)
        assert counts[stream_names.TURN_PEN] >= 6
        assert counts[stream_names.TURN_EVENTS] >= 6
        for turn_id, _ in gone:
            assert await is_kept(bus, turn_id) == [False] * 4
        assert await is_kept(bus, kept[0]) == [True, True, False, False]
        assert await erase(rig) == {}


async def test_a_turn_that_runs_is_stopped_ends_once_and_is_erased(bus: Bus) -> None:
    async with running(bus) as rig:
        rig.model.may_go_on.clear()
        turn_id, seen = await ask(rig, OWNER)
        await seen.until(lambda found: bool(found.text))
        await erase(rig)
        assert isinstance(await seen.ended(), TurnCancelled)
        assert seen.types.count("turn_cancelled") == 1
        assert rig.model.was_aborted
        assert await is_kept(bus, turn_id) == [False] * 4


async def test_a_turn_that_waits_for_a_runner_is_stopped_before_anything_is_removed(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_stopper, "ANSWER_S", 0.1)
    async with running(bus, runs_turns=False, writes_answers=False) as rig:
        turn_id, seen = await ask(rig, OWNER)
        part = await rig.second.parts.erasure.erase(EraseUser(owner_id=OWNER.owner_id))
        assert (part.is_done, part.waits_for) == (False, "turns that are being stopped")
        assert isinstance(await seen.ended(), TurnCancelled)
        # Its command is still to be acknowledged by a runner: until then it is not touched.
        assert (await is_kept(bus, turn_id))[2]
        working = asyncio.create_task(rig.second.loop.run())
        await erase(rig)
        assert await is_kept(bus, turn_id) == [False] * 4
        working.cancel()
        await asyncio.wait([working])


async def test_turns_of_visitors_go_with_the_bot_that_they_asked(bus: Bus) -> None:
    async with running(bus) as rig:
        turn_id, seen = await ask(rig, VISITOR)
        await seen.ended()
        await is_acknowledged(bus, turn_id)
        await erase(rig, "c" * 32)
        assert (await is_kept(bus, turn_id))[0]
        await erase(rig, BOT)
        assert await is_kept(bus, turn_id) == [False] * 4


async def test_turns_of_visitors_who_are_to_be_forgotten_go_and_those_of_others_stay(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgotten_visitors, "PAUSE_S", 0.02)
    async with running(bus) as rig:
        ended = await ask(rig, VISITOR)
        await ended[1].ended()
        kept = await ask(rig, OTHER)
        await kept[1].ended()
        rig.model.may_go_on.clear()
        other_visitor = Principal(f"visitor-{BOT}-{'1' * 32}", Role.GUEST)
        runs = await ask(rig, other_visitor)
        await runs[1].until(lambda found: bool(found.text))
        forgotten = forgotten_visitors.ForgottenVisitors(rig.second.parts.erasure)
        for one in (VISITOR, other_visitor, VISITOR):
            forgotten.forget(one.owner_id)
        forgetting = asyncio.create_task(forgotten.run())

        async def are_gone() -> bool:
            found = [await is_kept(bus, turn_id) for turn_id, _ in (ended, runs)]
            return found == [[False] * 4] * 2

        await eventually(are_gone)
        assert isinstance(await runs[1].ended(), TurnCancelled)
        assert (await is_kept(bus, kept[0]))[:2] == [True, True]
        forgetting.cancel()
        await asyncio.wait([forgetting])


@pytest.mark.parametrize("survives", range(4))
async def test_a_part_that_was_cut_short_is_made_good_by_the_next(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    """However many messages are erased before the gateway dies, the turn is found again."""
    real = erase_subject
    left = [survives]

    async def dies(on: Bus, stream: str, subject: str) -> int:
        if not left[0]:
            raise ConnectionError("the gateway dies")
        left[0] -= 1
        return await real(on, stream, subject)

    async with running(bus) as rig:
        turn_id, seen = await ask(rig, OWNER)
        await seen.ended()
        await is_acknowledged(bus, turn_id)
        with monkeypatch.context() as killing, contextlib.suppress(ConnectionError):
            killing.setattr(turn_erasure, "erase_subject", dies)
            await erase(rig)
        await erase(rig)
        assert await is_kept(bus, turn_id) == [False] * 4


async def test_an_erasure_waits_until_older_jobs_let_its_own_out_of_their_file(bus: Bus) -> None:
    async with running(bus) as rig:
        stuck = llm_jobs("nobody-works-here")
        await bus.store(stuck.subject, b"somebody else's")
        turn_id, seen = await ask(rig, OWNER)
        await seen.ended()
        await is_acknowledged(bus, turn_id)
        cursor: str | None = None

        async def waits_for_the_file() -> bool:
            nonlocal cursor
            request = EraseUser(owner_id=OWNER.owner_id, cursor=cursor)
            part = await rig.second.parts.erasure.erase(request)
            cursor = part.next_cursor
            assert not part.is_done
            return part.waits_for == "older jobs in the same files of the bus"

        await eventually(waits_for_the_file)
        assert await waits_for_the_file()
        # What comes later is nothing that is waited for.
        await bus.store(stuck.subject, b"somebody else's, too")
        source = await bus.open_jobs(stuck)
        job = await source.fetch(FETCH_S)
        assert job is not None
        await job.ack()
        part = await rig.second.parts.erasure.erase(EraseUser(owner_id=OWNER.owner_id, cursor=cursor))
        assert (part.is_done, part.next_cursor) == (True, None)
        later = await source.fetch(FETCH_S)
        assert later is not None
        await later.ack()
        await source.close()


@pytest.mark.nats
async def test_nothing_that_was_asked_or_answered_stands_in_a_file_of_the_server(
    nats_url: str, nats_store: Path
) -> None:
    nats, words = NatsBus(nats_url, name="test", grace_s=2), "a wholly singular question of mine"
    try:
        async with running(nats) as rig:
            for _ in range(3):
                turn_id, seen = await ask(rig, OWNER, words)
                await seen.ended()
                await is_acknowledged(nats, turn_id)
            assert found_in(nats_store, words.encode())
            await erase(rig)

            async def is_gone() -> bool:
                # A worker acknowledges its job after the turn has ended.
                await erase(rig)
                return not found_in(nats_store, words.encode())

            await eventually(is_gone)
    finally:
        await nats.close()
