"""Broken on purpose, each part of the protocol is missed: the search is able to find what it looks for."""

# The broken parts stand in for methods of the real ones, private ones too.
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import pytest
from parley_contracts.llm import GenerateJob
from parley_contracts.turn_events import frame_seq
from parley_contracts.turns import PenClaim, Seal
from parley_gateway import turn_ending, turn_runner
from parley_gateway.running_turn import RunningTurn
from parley_gateway.turn_ending import Sealing, TurnEnding
from parley_llm import worker
from parley_llm.generation import Generation
from parley_llm.worker import GenerationWorker
from parley_llm.written_answer import WrittenAnswer
from parley_messaging.bus import Bus, JobOutcome
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen
from parley_messaging.streams import TURN_EVENTS
from parley_messaging.turn_log import TurnLog, read_turn_log
from parley_messaging.turn_watch import TurnWatch, TurnWatches
from parley_messaging.turn_writer import TurnWriter

from tests.protocol.cluster import GATEWAYS, ROLES, WORKERS
from tests.protocol.counting_model import GAP_S
from tests.protocol.planned_faults import Fault, Freeze, Kill, Lose
from tests.protocol.schedule import Action
from tests.protocol.several_faults import (
    DIES_FINISHED,
    END_BEFORE_REPEATS,
    LATE_ACKNOWLEDGEMENT,
    NO_HEARTBEATS,
    STALE_WORKER,
    WAKES_IN_TIME,
    Search,
    together,
)
from tests.protocol.sweep import TURN, sweep

Break = Callable[[pytest.MonkeyPatch], None]


def a_fenced_worker_acknowledges(patch: pytest.MonkeyPatch) -> None:
    write = GenerationWorker._write

    async def broken(
        self: GenerationWorker, job: GenerateJob, generation: Generation, epoch: int
    ) -> JobOutcome:
        await write(self, job, generation, epoch)
        return JobOutcome.DONE

    patch.setattr(GenerationWorker, "_write", broken)


def who_loses_a_slot_believes_to_have_won(patch: pytest.MonkeyPatch) -> None:
    claim = Pen.claim

    async def broken(self: Pen, turn_id: str, number: int, record: PenClaim | Seal) -> PenClaim | Seal:
        await claim(self, turn_id, number, record)
        return record

    patch.setattr(Pen, "claim", broken)


def a_lost_acknowledgement_is_a_lost_slot(patch: pytest.MonkeyPatch) -> None:
    claim = Pen.claim

    async def broken(self: Pen, turn_id: str, number: int, record: PenClaim | Seal) -> PenClaim | Seal:
        found = await claim(self, turn_id, number, record)
        is_mine = found is record
        return found if is_mine else found.model_copy(update={"nonce": "another"})

    patch.setattr(Pen, "claim", broken)


def an_ending_follows_nothing(patch: pytest.MonkeyPatch) -> None:
    made = turn_ending.terminal_event

    def broken(number: int, seal: Seal, stored: str) -> Any:
        return made(number, seal, stored).model_copy(update={"follows": 0})

    patch.setattr(turn_ending, "terminal_event", broken)


def a_writer_never_goes_back(patch: pytest.MonkeyPatch) -> None:
    async def broken(_: TurnWriter, __: float) -> None:
        return

    patch.setattr(TurnWriter, "go_back", broken)


def an_acknowledgement_stands_for_everything_before_it(patch: pytest.MonkeyPatch) -> None:
    acknowledge = TurnWriter.acknowledge

    def broken(self: TurnWriter, attempt: int, seq: int) -> None:
        for earlier in [sent.seq for sent in self._window if sent.seq <= seq]:
            acknowledge(self, attempt, earlier)

    patch.setattr(TurnWriter, "acknowledge", broken)


def redelivered_means_dead(patch: pytest.MonkeyPatch) -> None:
    async def broken(_: Holds, __: str) -> bool:
        return False

    patch.setattr(Holds, "is_held_by_another", broken)


def a_turn_that_is_not_kept_yet_is_done(patch: pytest.MonkeyPatch) -> None:
    finish = TurnEnding.finish

    async def broken(self: TurnEnding, number: int, seal: Seal) -> Sealing:
        await finish(self, number, seal)
        return Sealing.DONE

    patch.setattr(TurnEnding, "finish", broken)


def a_finished_answer_is_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    async def broken(bus: Bus, home: str, turn_id: str) -> TurnLog:
        log = await read_turn_log(bus, home, turn_id)
        log.finished = None
        return log

    patch.setattr(worker, "read_turn_log", broken)


def a_runner_begins_again_where_a_worker_writes(patch: pytest.MonkeyPatch) -> None:
    runner = turn_runner.TurnRunner

    async def broken(self: turn_runner.TurnRunner, turn: RunningTurn, slots: int) -> Sealing:
        records = await self._pen.read_all(turn.command.turn.turn_id)
        assert len(records) >= slots
        return await self._take_over(turn, records)

    patch.setattr(runner, "_rejoin", broken)


def a_hole_is_not_replayed(patch: pytest.MonkeyPatch) -> None:
    def broken(_: TurnWatches, __: TurnWatch) -> None:
        return

    patch.setattr(TurnWatches, "_catch_up", broken)


def nobody_looks_after_idle_watches(patch: pytest.MonkeyPatch) -> None:
    async def broken(_: TurnWatches) -> None:
        await asyncio.Event().wait()

    patch.setattr(TurnWatches, "_check_idle", broken)


def a_watch_takes_whatever_comes(patch: pytest.MonkeyPatch) -> None:
    def broken(self: TurnWatch, frame: bytes) -> bool:
        seq = int(frame[7 : frame.index(b",", 7)])
        if seq > self.last_seq:
            self.last_seq = seq
            self._sink(frame, seq)
        return True

    patch.setattr(TurnWatch, "_take", broken)


def what_is_read_ahead_of_a_hole_is_dropped(patch: pytest.MonkeyPatch) -> None:
    async def broken(self: TurnWatch, bus: Bus) -> None:
        while not self._is_over:
            stored = await bus.next_stored(TURN_EVENTS, self.subject, self._position)
            if stored is None:
                return
            self._position = stored.stream_seq + 1
            self._take(stored.data)

    patch.setattr(TurnWatch, "_read_log", broken)


def a_repeat_behind_the_end_says_that_nothing_is_new(patch: pytest.MonkeyPatch) -> None:
    async def broken(self: TurnWatch, bus: Bus) -> bool:
        stored = await bus.last_stored(TURN_EVENTS, self.subject)
        return stored is not None and frame_seq(stored.data) > self.last_seq

    patch.setattr(TurnWatch, "is_behind", broken)


def a_finished_answer_ends_the_turn_over_the_head_of_a_writer(patch: pytest.MonkeyPatch) -> None:
    end = TurnEnding.seal

    async def broken(self: TurnEnding, number: int, seal: Seal, *, ends_writing: bool = True) -> Sealing:
        return await end(self, number, seal, ends_writing=True)

    patch.setattr(TurnEnding, "seal", broken)


def a_worker_keeps_what_his_model_cannot_continue(patch: pytest.MonkeyPatch) -> None:
    write = Generation.write

    async def broken(self: Generation, writer: TurnWriter, standing: TurnLog, **rest: Any) -> None:
        # The model is asked as ever, and its answer is put behind the text that stands.
        opening = self._epoch_started

        def keeping(seq: int, *, standing: TurnLog, keep_chars: int) -> bytes:
            self._written = WrittenAnswer(self._turn_id_json, standing.text)
            return opening(seq, standing=standing, keep_chars=len(standing.text))

        patch.setattr(self, "_epoch_started", keeping)
        await write(self, writer, standing, **rest)

    patch.setattr(Generation, "write", broken)


def who_goes_on_with_an_answer_gives_it_up(patch: pytest.MonkeyPatch) -> None:
    write = Generation.write

    async def broken(self: Generation, writer: TurnWriter, standing: TurnLog, **rest: Any) -> None:
        await write(self, writer, standing, **{**rest, "is_given_up": bool(standing.text)})

    patch.setattr(Generation, "write", broken)


def one_fault(
    fault: Fault, roles: Sequence[str], turn: Sequence[Action] = TURN, gap_s: float = GAP_S
) -> Search:
    """Return the search that lets one fault meet every operation of some processes."""
    return lambda: chain.from_iterable(sweep(role, fault, turn, gap_s=gap_s) for role in roles)


BROKEN: list[tuple[Break, Search]] = [
    (a_fenced_worker_acknowledges, together(STALE_WORKER, 1.5, may_ask_again=True)),
    (who_loses_a_slot_believes_to_have_won, one_fault(Freeze(8.0), ROLES)),
    (a_lost_acknowledgement_is_a_lost_slot, one_fault(Lose(), ROLES)),
    (an_ending_follows_nothing, one_fault(Lose(3), GATEWAYS)),
    (a_writer_never_goes_back, one_fault(Lose(), WORKERS)),
    (an_acknowledgement_stands_for_everything_before_it, one_fault(Lose(), WORKERS)),
    (redelivered_means_dead, together(NO_HEARTBEATS, 3.0)),
    (a_turn_that_is_not_kept_yet_is_done, one_fault(Kill(), ["memory"])),
    (a_finished_answer_is_not_looked_for, together(DIES_FINISHED, may_ask_again=True)),
    (a_runner_begins_again_where_a_worker_writes, one_fault(Kill(), GATEWAYS, gap_s=2.0)),
    (a_hole_is_not_replayed, one_fault(Lose(), GATEWAYS)),
    (nobody_looks_after_idle_watches, one_fault(Lose(), GATEWAYS)),
    (a_watch_takes_whatever_comes, one_fault(Lose(), GATEWAYS)),
    (what_is_read_ahead_of_a_hole_is_dropped, together(LATE_ACKNOWLEDGEMENT[::6])),
    (a_repeat_behind_the_end_says_that_nothing_is_new, together(END_BEFORE_REPEATS)),
    (
        a_finished_answer_ends_the_turn_over_the_head_of_a_writer,
        together(WAKES_IN_TIME, may_ask_again=True, latency_s=0.001),
    ),
    (a_worker_keeps_what_his_model_cannot_continue, one_fault(Kill(), WORKERS)),
    (who_goes_on_with_an_answer_gives_it_up, one_fault(Kill(), WORKERS)),
]
NAMES = [broken.__name__ for broken, _ in BROKEN]


@pytest.mark.parametrize(("broken", "search"), BROKEN, ids=NAMES)
def test_a_broken_protocol_is_found(broken: Break, search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    assert next(iter(search()), None) is not None
