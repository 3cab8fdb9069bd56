"""A stop ends its turn, whoever hears it, and says whether those who worked on the turn obeyed."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turn_events import (
    EpochStarted,
    GenerationFinished,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    encode_event,
    frame_seq,
    text_delta_frame,
)
from parley_contracts.turns import (
    EPOCH_SPAN,
    PenClaim,
    PenRole,
    Seal,
    StartTurn,
    TokenUsage,
    TurnOutcome,
    TurnRef,
)
from parley_gateway import turn_stopper
from parley_gateway.turn_ending import Sealing, terminal_event
from parley_messaging.bus import Delivery, StoredMessage
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.pen import new_nonce
from parley_messaging.queues import TURNS

from tests.unit.gateway.rig import OWNER, Rig, running


class FlakyBus(MemoryBus):
    """Cannot be read for a stop the first few times."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable = 0

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        if self.unreadable and subject.startswith(subjects.turn_cancel("x")[:-1]):
            self.unreadable -= 1
            raise ParleyError(ErrorCode.UNAVAILABLE, "The turn log cannot be read now.")
        return await super().last_stored(stream, subject)


@pytest.fixture
async def bus() -> AsyncGenerator[FlakyBus]:
    made = FlakyBus()
    yield made
    await made.close()


async def stop(rig: Rig, client_turn_id: str) -> None:
    rig.second.stopper.see_to(await rig.second.door.cancel(OWNER, client_turn_id))


async def test_a_stop_that_the_worker_obeyed_is_confirmed(bus: FlakyBus) -> None:
    async with running(bus) as rig:
        rig.model.may_go_on.clear()
        accepted, seen = await rig.first.ask()
        await seen.until(lambda found: bool(found.text))
        await stop(rig, accepted.ref.client_turn_id)
        ended = await seen.ended()
        assert isinstance(ended, TurnCancelled)
        assert ended.is_confirmed
        assert rig.second.stopper.sealed == 0


async def test_a_stop_that_nobody_obeys_is_told_again_and_then_sealed_unconfirmed(
    bus: FlakyBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_stopper, "ANSWER_S", 0.1)
    told: list[str] = []

    async def hear(delivery: Delivery) -> None:
        told.append(delivery.subject)

    async with running(bus, writes_answers=False, runs_turns=False) as rig:
        accepted, seen = await rig.first.ask()
        await bus.subscribe(subjects.ALL_CANCELS, hear)
        await stop(rig, accepted.ref.client_turn_id)
        ended = await seen.ended()
        assert isinstance(ended, TurnCancelled)
        assert not ended.is_confirmed
        assert told == [subjects.turn_cancel(accepted.ref.turn_id)] * 2
        assert rig.second.stopper.sealed == 1
        assert rig.neighbours.stored[accepted.ref.turn_id].outcome is TurnOutcome.CANCELLED


async def test_stops_beyond_the_limit_are_left_to_who_works_on_their_turns(
    bus: FlakyBus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(turn_stopper, "MAX_SEEN_TO", 3)
    async with running(bus, runs_turns=False) as rig:
        stopper = rig.first.stopper
        for number in range(5):
            name = f"t{number}"
            stopper.see_to(TurnRef(turn_id=name, client_turn_id=name, owner_id="o", home="gateway-1"))
        assert stopper.seen_to == 3
        assert caplog.text.count("too many stops at once") == 2


async def test_a_read_of_the_stop_that_fails_does_not_fail_the_turn(bus: FlakyBus) -> None:
    async with running(bus) as rig:
        bus.unreadable = 4
        _, seen = await rig.first.ask()
        assert isinstance(await seen.ended(), TurnCompleted)
        assert bus.unreadable == 0


async def test_a_stop_during_an_outage_of_the_bus_still_ends_the_turn(
    bus: FlakyBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_stopper, "ANSWER_S", 0.1)
    monkeypatch.setattr(turn_stopper, "PAUSE_S", 0.01)
    async with running(bus, runs_turns=False) as rig:
        accepted, seen = await rig.first.ask()
        failing = asyncio.Event()

        async def fail_once(turn_id: str) -> object:
            if failing.is_set():
                return await find(turn_id)
            failing.set()
            raise ParleyError(ErrorCode.UNAVAILABLE, "The turn log cannot be read now.")

        finder = rig.second.stopper._finder  # pyright: ignore[reportPrivateUsage] - what fails is behind it
        find = finder.find
        ref = await rig.second.door.cancel(OWNER, accepted.ref.client_turn_id)
        monkeypatch.setattr(finder, "find", fail_once)
        rig.second.stopper.see_to(ref)
        assert isinstance(await seen.ended(), TurnCancelled)
        assert failing.is_set()


async def test_what_a_worker_writes_over_the_edges_seal_is_cut_off_by_the_ending(
    bus: FlakyBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_stopper, "ANSWER_S", 0.1)
    async with running(bus) as rig:
        rig.model.may_go_on.clear()
        accepted, seen = await rig.first.ask()
        await seen.until(lambda found: bool(found.text))
        written = seen.text
        ref = accepted.ref
        events = subjects.turn_events(ref.home, ref.turn_id)

        async def write_late(number: int, seal: Seal) -> Sealing:
            # The worker, which is deaf to stops here, writes between the edge's look at the log and its end.
            late = text_delta_frame(b'"t"', frame_seq(seen.frames[-1]) + 1, "too late")
            await bus.store(events, late)
            return await finish(number, seal)

        async def stay_silent(_: TurnRef) -> None:
            return

        finish = rig.second.ending.finish
        monkeypatch.setattr(rig.second.ending, "finish", write_late)
        monkeypatch.setattr(rig.second.stopper, "_stop_again", stay_silent)
        rig.second.stopper.see_to(ref)
        ended = await seen.ended()
        assert isinstance(ended, TurnCancelled)
        assert seen.text == written + "too late"
        seal = rig.neighbours.stored[ref.turn_id]
        assert seen.text[: ended.kept_chars] == written == seal.text
        # Nobody has told what it has cost: at least what was asked and written.
        assert seal.model == "scripted"
        assert seal.usage == TokenUsage.guessed(len("Who has the pen?"), len(written))


@pytest.mark.parametrize("tells_an_end", [False, True], ids=["silent", "finished"])
async def test_a_turn_that_a_worker_had_costs_what_is_known_of_it_when_the_edge_ends_it(
    bus: FlakyBus, monkeypatch: pytest.MonkeyPatch, *, tells_an_end: bool
) -> None:
    monkeypatch.setattr(turn_stopper, "ANSWER_S", 0.1)
    async with running(bus, writes_answers=False, runs_turns=False) as rig:
        accepted, seen = await rig.first.ask()
        ref = accepted.ref
        stored = await bus.last_stored(TURNS.stream, subjects.turn_start(ref.turn_id))
        assert stored is not None
        command = StartTurn.model_validate_json(stored.data)
        claim = PenClaim(
            nonce=new_nonce(), role=PenRole.WORKER, holder="llm-1", home=ref.home, command=command
        )
        await rig.first.pen.claim(ref.turn_id, 1, claim)
        told = TokenUsage(prompt_tokens=70, completion_tokens=30)
        if tells_an_end:
            name, events = ref.client_turn_id, subjects.turn_events(ref.home, ref.turn_id)
            end = GenerationFinished(
                seq=EPOCH_SPAN + 1, turn_id=name, text="", model="last", usage=told, finish_reason="stop"
            )
            opening = EpochStarted(seq=EPOCH_SPAN, follows=0, turn_id=name, keep_chars=0)
            for event in (opening, end):
                await bus.store(events, encode_event(event))
        await stop(rig, ref.client_turn_id)
        assert isinstance(await seen.ended(), TurnCancelled)
        seal = rig.neighbours.stored[ref.turn_id]
    asked = TokenUsage.guessed(len("Who has the pen?"), 0)
    assert (seal.model, seal.usage) == (("last", told) if tells_an_end else ("scripted", asked))


async def test_a_turn_that_nobody_had_costs_nothing_when_the_edge_ends_it(
    bus: FlakyBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_stopper, "ANSWER_S", 0.1)
    async with running(bus, writes_answers=False, runs_turns=False) as rig:
        accepted, seen = await rig.first.ask()
        await stop(rig, accepted.ref.client_turn_id)
        await seen.ended()
        seal = rig.neighbours.stored[accepted.ref.turn_id]
    assert (seal.model, seal.usage) == (None, TokenUsage())


def test_a_failed_turn_says_how_much_of_its_answer_is_kept() -> None:
    turn = TurnRef(turn_id="t", client_turn_id="t", owner_id="o", home="h")
    seal = Seal(
        nonce="n",
        turn=turn,
        conversation_id="c",
        outcome=TurnOutcome.FAILED,
        user_text="Why?",
        text="Because",
        accepted_at_ms=1,
        sealed_at_ms=2,
    )
    failed = terminal_event(3, seal, "yes")
    assert isinstance(failed, TurnFailed)
    assert failed.kept_chars == len("Because")
