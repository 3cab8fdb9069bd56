"""Who may write an answer, and what becomes of the job afterwards."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode
from parley_contracts.llm import GenerateJob
from parley_contracts.turn_events import EpochStarted, GenerationFinished, encode_event, text_delta_frame
from parley_contracts.turns import PenClaim, PenRole, Seal, StartTurn, TokenUsage, TurnOutcome
from parley_llm.catalogue import Catalogue
from parley_llm.generation import Generation
from parley_llm.worker import MAX_WORKERS, GenerationWorker
from parley_messaging.bus import JobOutcome, StoreAck, StoredMessage
from parley_messaging.holds import Holds
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.message_headers import now_ms
from parley_messaging.pen import Pen, new_nonce
from parley_messaging.stops import Stops
from parley_messaging.turn_log import TurnLog, read_turn_log
from parley_messaging.turn_writer import TurnWriters

from tests.unit.llm.generation_desk import Scripted, until
from tests.unit.llm.jobs import job_for
from tests.unit.lone_delivery import LoneDelivery

WAIT_S = 5.0
JOB = job_for("scripted").model_copy(update={"deadline_ms": now_ms() + 86_400_000})
TURN = JOB.turn
COMMAND = StartTurn(
    turn=TURN,
    conversation_id="c",
    continues_conversation=False,
    text=JOB.question,
    collections=(),
    is_fresh=True,
    accepted_at_ms=1,
    deadline_ms=JOB.deadline_ms,
)


def delivery_of(data: bytes = JOB.model_dump_json().encode(), deliveries: int = 1) -> LoneDelivery:
    return LoneDelivery(data, subjects.llm_generate("scripted"), deliveries)


class Bench:
    """A worker on a bus, with a runner's claim in slot 1."""

    def __init__(self, bus: MemoryBus, model: Scripted) -> None:
        self.bus, self.model, self.pen = bus, model, Pen(bus)
        self.writers, self.stops = TurnWriters(bus), Stops(bus)
        self.holds = Holds(bus, "llm-1", PenRole.WORKER)
        self.worker = GenerationWorker(
            bus,
            holder="llm-1",
            holds=self.holds,
            pen=self.pen,
            writers=self.writers,
            stops=self.stops,
            new_generation=self._new_generation,
        )

    def _new_generation(self, job: GenerateJob) -> Generation:
        return Generation(self.bus, job, Catalogue([self.model]), self.stops, window_ms=0)

    async def claim(self, number: int, role: PenRole) -> None:
        one = PenClaim(nonce=new_nonce(), role=role, holder="somebody", home=TURN.home)
        assert await self.pen.claim(TURN.turn_id, number, one) == one

    async def work(self, delivery: LoneDelivery | None = None) -> JobOutcome:
        async with asyncio.timeout(WAIT_S):
            return await self.worker.work(delivery or delivery_of())

    async def log(self) -> TurnLog:
        return await read_turn_log(self.bus, TURN.home, TURN.turn_id)


@asynccontextmanager
async def working(
    bus: MemoryBus | None = None, *, runner_claims: bool = True, **model: object
) -> AsyncGenerator[Bench]:
    bus = bus or MemoryBus()
    bench = Bench(bus, Scripted(**model))  # type: ignore[arg-type]  # whatever a scripted model takes
    for part in (bench.writers, bench.stops, bench.holds):
        await part.start()
    if runner_claims:
        await bench.claim(1, PenRole.RUNNER)
    try:
        yield bench
    finally:
        await bus.close()


def seal() -> Seal:
    return Seal(
        nonce=new_nonce(),
        turn=TURN,
        conversation_id="c",
        outcome=TurnOutcome.FAILED,
        user_text="q",
        text="",
        accepted_at_ms=1,
        sealed_at_ms=2,
    )


async def written(bench: Bench) -> list[bytes]:
    found: list[bytes] = []
    position = 1
    subject = subjects.turn_events(TURN.home, TURN.turn_id)
    while stored := await bench.bus.next_stored("TURN_EVENTS", subject, position):
        found.append(stored.data)
        position = stored.stream_seq + 1
    return found


async def test_a_worker_takes_the_slot_after_the_runners_and_writes_in_its_epoch() -> None:
    async with working() as bench:
        assert await bench.work() is JobOutcome.DONE
        records = await bench.pen.read_all(TURN.turn_id)
        frames = await written(bench)
    assert [getattr(record, "role", None) for record in records] == [PenRole.RUNNER, PenRole.WORKER]
    assert frames[0].startswith(b'{"seq":2000000,"type":"epoch_started"')
    assert b'"follows":0' in frames[0]


async def test_a_job_of_an_unclaimed_turn_is_claimed_first_and_by_its_worker_alone() -> None:
    job = JOB.model_copy(update={"base_slot": 0, "command": COMMAND})
    async with working(runner_claims=False) as bench:
        assert await bench.work(delivery_of(job.model_dump_json().encode())) is JobOutcome.DONE
        [record] = await bench.pen.read_all(TURN.turn_id)
        frames = await written(bench)
    assert isinstance(record, PenClaim)
    assert (record.role, record.command) == (PenRole.WORKER, COMMAND)
    assert frames[0].startswith(b'{"seq":1000000,"type":"epoch_started"')


def epoch_started(follows: int, seq: int) -> bytes:
    return encode_event(EpochStarted(seq=seq, follows=follows, turn_id="c1", keep_chars=0))


def unclaimed(age_ms: int = 0, *, is_fresh: bool = True) -> LoneDelivery:
    """Return the first delivery of a job whose turn nobody has claimed."""
    command = COMMAND.model_copy(update={"accepted_at_ms": now_ms() - age_ms, "is_fresh": is_fresh})
    job = JOB.model_copy(update={"base_slot": 0, "command": command})
    return delivery_of(job.model_dump_json().encode())


@pytest.mark.parametrize(
    ("age_ms", "is_fresh", "written"), [(0, True, [""]), (1000, True, []), (0, False, [])]
)
async def test_the_model_of_a_turn_that_is_new_is_asked_while_the_pen_is_claimed(
    age_ms: int, is_fresh: bool, written: list[str]
) -> None:
    bus = ClaimingBus()
    asked_at_claim: list[str] = []

    async def note() -> None:
        await asyncio.sleep(0)
        asked_at_claim.extend(bench.model.written)

    async with working(bus, runner_claims=False) as bench:
        bus.on_claim = note
        assert await bench.work(unclaimed(age_ms, is_fresh=is_fresh)) is JobOutcome.DONE
        assert (await bench.log()).text == "one two three"
    assert (asked_at_claim, bench.model.written) == (written, [""])


async def test_a_model_that_was_asked_early_for_a_claim_that_is_lost_is_stopped() -> None:
    async with working(runner_claims=False, waits_after=0) as bench:
        await bench.pen.claim(TURN.turn_id, 1, seal())
        assert await bench.work(unclaimed()) is JobOutcome.DONE
        assert bench.model.was_aborted
        assert await written(bench) == []


async def test_a_model_that_was_asked_early_and_fails_fails_the_answer() -> None:
    async with working(runner_claims=False, error=RuntimeError("broken")) as bench:
        assert await bench.work(unclaimed()) is JobOutcome.DONE
        finished = (await bench.log()).finished or pytest.fail("the answer has no end")
        assert (finished.finish_reason, bench.model.written) == ("error", [""])


async def test_a_stop_that_is_found_with_the_claim_stops_a_model_that_was_asked_early() -> None:
    async with working(runner_claims=False, waits_after=0) as bench:
        await bench.bus.store(subjects.turn_cancel(TURN.turn_id), b"stop")
        assert await bench.work(unclaimed()) is JobOutcome.DONE
        finished = (await bench.log()).finished or pytest.fail("the answer has no end")
        assert (finished.finish_reason, finished.text, bench.model.was_aborted) == ("cancelled", "", True)


async def test_a_stop_aborts_a_model_that_was_asked_early_though_the_claim_hangs() -> None:
    bus = ClaimingBus()
    aborted_at_claim: list[bool] = []

    async def stop() -> None:
        await until(lambda: bench.model.written == [""])
        await bus.store(subjects.turn_cancel(TURN.turn_id), b"stop")
        await until(lambda: bench.model.was_aborted)
        aborted_at_claim.append(bench.model.was_aborted)

    async with working(bus, runner_claims=False, waits_after=0) as bench:
        bus.on_claim = stop
        assert await bench.work(unclaimed()) is JobOutcome.DONE
        finished = (await bench.log()).finished or pytest.fail("the answer has no end")
        assert finished.finish_reason == "cancelled"
    assert aborted_at_claim == [True]


async def test_what_was_asked_early_is_dropped_by_who_goes_on_from_another_workers_text() -> None:
    async with working(runner_claims=False) as bench:
        await bench.claim(1, PenRole.WORKER)
        async with bench.writers.open(subjects.turn_events(TURN.home, TURN.turn_id), 1) as writer:
            await writer.append(partial(epoch_started, 0))
            await writer.append_settled(partial(text_delta_frame, b'"c1"', text="one "), timeout_s=WAIT_S)
        assert await bench.work(unclaimed()) is JobOutcome.DONE
        assert (bench.model.written, bench.model.was_aborted) == (["", "one "], True)
        assert (await bench.log()).text == "one two three"


@pytest.mark.parametrize(("role", "home"), [(PenRole.RUNNER, TURN.home), (PenRole.WORKER, "elsewhere")])
async def test_a_job_of_an_unclaimed_turn_that_somebody_has_claimed_writes_nothing(
    role: PenRole, home: str
) -> None:
    async with working(runner_claims=False) as bench:
        one = PenClaim(nonce=new_nonce(), role=role, holder="somebody", home=home)
        await bench.pen.claim(TURN.turn_id, 1, one)
        assert await bench.work(unclaimed(age_ms=1000)) is JobOutcome.DONE
        assert bench.model.written == []
        assert await bench.pen.read_all(TURN.turn_id) == [one]


@pytest.mark.parametrize("is_sealed", [True, False])
async def test_a_job_whose_turn_has_ended_or_has_a_newer_runner_writes_nothing(is_sealed: bool) -> None:
    async with working() as bench:
        if is_sealed:
            await bench.pen.claim(TURN.turn_id, 2, seal())
        else:
            await bench.claim(2, PenRole.RUNNER)
        assert await bench.work() is JobOutcome.DONE
        assert bench.model.written == []
        assert await written(bench) == []


@pytest.mark.parametrize("deliveries", [1, 2])
async def test_a_job_that_another_worker_claimed_and_holds_is_left_to_him(deliveries: int) -> None:
    async with working() as bench:
        await bench.claim(2, PenRole.WORKER)
        with bench.holds.hold(TURN.turn_id):
            assert await bench.work(delivery_of(deliveries=deliveries)) is JobOutcome.LEAVE
        assert bench.model.written == []


async def test_an_answer_that_stands_finished_in_the_log_is_not_asked_for_again() -> None:
    async with working() as bench:
        assert await bench.work() is JobOutcome.DONE
        assert await bench.work(delivery_of(deliveries=2)) is JobOutcome.DONE
        assert bench.model.written == [""]


async def test_a_worker_that_lost_the_pen_meanwhile_leaves_the_job_to_its_successor() -> None:
    async with working(waits_after=1) as bench, asyncio.TaskGroup() as tasks:
        stale = tasks.create_task(bench.work())
        await until(lambda: bool(bench.model.written))
        await bench.claim(3, PenRole.WORKER)
        await bench.bus.store(subjects.turn_cancel(TURN.turn_id), b"stop")
        assert await stale is JobOutcome.LEAVE


async def test_a_stop_stored_before_the_claim_is_found() -> None:
    async with working() as bench:
        await bench.bus.store(subjects.turn_cancel(TURN.turn_id), b"stop")
        assert await bench.work() is JobOutcome.DONE
        finished = (await bench.log()).finished or pytest.fail("the answer has no end")
        assert finished.finish_reason == "cancelled"
        assert bench.model.written == []


class ClaimingBus(MemoryBus):
    """Lets a test see to what happens while a claim is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.has_been_read = asyncio.Event()
        self.on_claim: Callable[[], Awaitable[object]] | None = None

    async def store(
        self,
        subject: str,
        data: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        is_first: bool = False,
        timeout_s: float = 2.0,
    ) -> StoreAck:
        if is_first and (on_claim := self.on_claim):
            self.on_claim = None
            await on_claim()
        return await super().store(subject, data, headers=headers, is_first=is_first, timeout_s=timeout_s)

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        found = await super().last_stored(stream, subject)
        if subject == subjects.turn_cancel(TURN.turn_id):
            self.has_been_read.set()
        return found


async def test_a_stop_is_looked_for_while_the_claim_is_under_way() -> None:
    bus = ClaimingBus()
    async with working(bus) as bench:
        bus.on_claim = bus.has_been_read.wait
        assert await bench.work() is JobOutcome.DONE
        assert bench.model.written == [""]


@pytest.mark.parametrize(("deliveries", "outcome"), [(1, JobOutcome.RETRY), (10, JobOutcome.DONE)])
async def test_a_job_that_cannot_be_read_is_left_to_a_newer_worker_for_a_while(
    deliveries: int, outcome: JobOutcome
) -> None:
    async with working() as bench:
        assert await bench.work(delivery_of(b'{"from": "a later version"}', deliveries)) is outcome


async def test_a_job_is_held_already_while_its_claim_is_under_way() -> None:
    bus = ClaimingBus()
    heard: list[bool] = []

    async def ask() -> None:
        other = Holds(bus, "llm-2", PenRole.WORKER)
        with other.hold(TURN.turn_id):
            heard.append(await other.is_held_by_another(TURN.turn_id))

    async with working(bus) as bench:
        bus.on_claim = ask
        assert await bench.work() is JobOutcome.DONE
    assert heard == [True]


async def test_a_stop_that_comes_after_it_was_looked_for_and_before_the_claim_is_won_asks_no_model() -> None:
    bus = ClaimingBus()

    async def stop() -> None:
        await bus.has_been_read.wait()
        await bus.store(subjects.turn_cancel(TURN.turn_id), b"stop")

    async with working(bus) as bench:
        bus.on_claim = stop
        assert await bench.work() is JobOutcome.DONE
        finished = (await bench.log()).finished or pytest.fail("the answer has no end")
        assert finished.finish_reason == "cancelled"
        assert bench.model.written == []


@pytest.mark.parametrize("dead", [MAX_WORKERS - 1, MAX_WORKERS])
async def test_a_job_that_workers_die_of_is_given_up_after_some_of_them(dead: int) -> None:
    async with working() as bench:
        for number in range(2, 2 + dead):
            await bench.claim(number, PenRole.WORKER)
        assert await bench.work(delivery_of(deliveries=dead + 1)) is JobOutcome.DONE
        frames = await written(bench)
        is_given_up = dead == MAX_WORKERS
        assert bench.model.written == ([] if is_given_up else [""])
        assert (b'"error_code":"%b"' % ErrorCode.INTERNAL.encode() in frames[-1]) is is_given_up


async def test_a_finished_answer_of_a_dead_worker_is_found_by_the_next() -> None:
    async with working() as bench:
        await bench.claim(2, PenRole.WORKER)
        ended = GenerationFinished(
            seq=2_000_001,
            turn_id=TURN.client_turn_id,
            text="whole",
            model="scripted",
            usage=TokenUsage(),
            finish_reason="stop",
        )
        subject = subjects.turn_events(TURN.home, TURN.turn_id)
        opening = b'{"seq":2000000,"type":"epoch_started","follows":0,"turn_id":"c1","keep_chars":0}'
        await bench.bus.store(subject, opening)
        await bench.bus.store(subject, encode_event(ended))
        assert await bench.work(delivery_of(deliveries=2)) is JobOutcome.DONE
        assert bench.model.written == []
