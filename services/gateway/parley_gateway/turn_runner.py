"""Runs a turn: claim the pen, gather, hand the pen to a model worker, follow the log, end the turn."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from functools import partial

from parley_contracts import headers, subjects
from parley_contracts.citations import Citation
from parley_contracts.errors import ErrorBody, ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob
from parley_contracts.turn_events import (
    ContextReady,
    EpochStarted,
    GenerationFinished,
    StageChanged,
    encode_event,
)
from parley_contracts.turns import PenClaim, PenRole, Seal, StartTurn, TurnOutcome, TurnTimings
from parley_messaging import Bus, JobOutcome, QueuedJob
from parley_messaging.holds import Holds
from parley_messaging.message_headers import now_ms, outgoing
from parley_messaging.pen import Pen, new_nonce
from parley_messaging.stops import Stops
from parley_messaging.turn_log import read_turn_log
from parley_messaging.turn_watch import TurnWatches
from parley_messaging.turn_writer import TurnWriter, TurnWriters
from pydantic import ValidationError

from parley_gateway.gathering import Gathered, Gathering
from parley_gateway.generation_watch import GenerationWatch
from parley_gateway.models import Models
from parley_gateway.prompt import assemble, fitted, history_chars
from parley_gateway.question_keeper import QuestionKeeper
from parley_gateway.turn_ending import TurnEnding, new_seal, runner_claims

log = logging.getLogger("parley.gateway")

MAX_RUNNERS = 3
"""A turn that this many runners have died of is not tried again."""

EVENT_STORED_S = 10.0


@dataclass(slots=True)
class RunningTurn:
    """What a runner knows of the turn it runs."""

    command: StartTurn
    epoch: int = 0
    last_seq: int = 0
    citations: tuple[Citation, ...] = ()
    degraded: set[str] = field(default_factory=set[str])
    timings: TurnTimings = field(default_factory=TurnTimings)
    text: str = ""

    def since_ms(self) -> float:
        """Return the time since the turn was accepted, in milliseconds."""
        return round(time.time() * 1000 - self.command.accepted_at_ms, 1)

    def note(self, **timings: float | None) -> None:
        """Add to the turn's timings."""
        self.timings = self.timings.model_copy(update=timings)


class TurnRunner:
    """Takes turns off the TURNS queue."""

    def __init__(
        self,
        bus: Bus,
        *,
        holder: str,
        holds: Holds,
        pen: Pen,
        writers: TurnWriters,
        watches: TurnWatches,
        stops: Stops,
        models: Models,
        gathering: Gathering,
        ending: TurnEnding,
        questions: QuestionKeeper,
    ) -> None:
        self._bus = bus
        self._holder = holder
        self._holds = holds
        self._pen = pen
        self._writers = writers
        self._watches = watches
        self._stops = stops
        self._models = models
        self._gathering = gathering
        self._ending = ending
        self._questions = questions

    async def work(self, delivery: QueuedJob) -> JobOutcome:
        """Handle one delivery of a turn."""
        try:
            command = StartTurn.model_validate_json(delivery.data)
        except ValidationError:
            log.exception("turn cannot be read and is dropped")
            return JobOutcome.DONE
        turn_id = command.turn.turn_id
        if delivery.deliveries > 1 and await self._holds.is_held(turn_id):
            return JobOutcome.LEAVE
        with self._holds.hold(turn_id), self._stops.following(turn_id):
            is_done = await self._run(RunningTurn(command))
        return JobOutcome.DONE if is_done else JobOutcome.RETRY

    async def _run(self, turn: RunningTurn) -> bool:
        """Run the turn from wherever it stands; False when something of it is left to do."""
        command = turn.command
        turn_id = command.turn.turn_id
        claim = self._claim(turn)
        standing = await self._pen.claim(turn_id, 1, claim)
        if standing.nonce == claim.nonce:
            turn.epoch = 1
            self._questions.keep(command)
            return await self._begin(turn)
        records = await self._pen.read_all(turn_id)
        last = records[-1]
        # Whoever claimed first chose where the events stand.
        home = records[0].home if isinstance(records[0], PenClaim) else command.turn.home
        ref = command.turn.model_copy(update={"home": home})
        turn.command = command.model_copy(update={"turn": ref})
        if isinstance(last, Seal):
            return await self._ending.finish(len(records), last)
        if last.role is PenRole.WORKER:
            return await self._rejoin(turn, len(records))
        return await self._take_over(turn, records)

    def _claim(self, turn: RunningTurn) -> PenClaim:
        return PenClaim(
            nonce=new_nonce(),
            role=PenRole.RUNNER,
            holder=self._holder,
            home=turn.command.turn.home,
            command=turn.command,
        )

    async def _take_over(self, turn: RunningTurn, records: list[PenClaim | Seal]) -> bool:
        """Claim the slot after a runner that is gone, and begin again from what the log says."""
        ref = turn.command.turn
        standing = await read_turn_log(self._bus, ref.home, ref.turn_id)
        turn.last_seq, turn.text = standing.last_seq, standing.text
        if runner_claims(records) >= MAX_RUNNERS:
            error = ParleyError(ErrorCode.INTERNAL, "The turn failed several times and is given up.")
            return await self._seal(turn, len(records) + 1, TurnOutcome.FAILED, error=error.body())
        claim, number = self._claim(turn), len(records) + 1
        if (await self._pen.claim(ref.turn_id, number, claim)).nonce != claim.nonce:
            return False
        turn.epoch = number
        return await self._begin(turn)

    async def _rejoin(self, turn: RunningTurn, slots: int) -> bool:
        """Follow a generation that another runner began; its worker is never fenced."""
        ref = turn.command.turn
        standing = await read_turn_log(self._bus, ref.home, ref.turn_id)
        if standing.context is not None:
            turn.citations = standing.context.citations
            turn.degraded |= set(standing.context.degraded)
        turn.epoch = slots
        watch = GenerationWatch(self._watches, ref)
        await watch.open()
        try:
            return await self._follow(turn, watch)
        finally:
            await watch.close()

    async def _begin(self, turn: RunningTurn) -> bool:
        turn.note(claimed_ms=turn.since_ms())
        ref, command = turn.command.turn, turn.command
        next_slot = turn.epoch + 1
        if await self._pen.is_cancelled(ref.turn_id):
            return await self._seal(turn, next_slot, TurnOutcome.CANCELLED)
        watch = GenerationWatch(self._watches, ref)
        await watch.open(is_new=turn.epoch == 1)
        try:
            async with asyncio.timeout(self._left_s(command)) as clock:
                with self._stops.expiring(ref.turn_id, clock):
                    await self._prepare(turn)
            return await self._follow(turn, watch)
        except TimeoutError:
            if self._stops.is_stopped(ref.turn_id):
                return await self._seal(turn, next_slot, TurnOutcome.CANCELLED)
            error = ParleyError(ErrorCode.TIMEOUT, "The turn took longer than allowed.")
            return await self._seal(turn, next_slot, TurnOutcome.FAILED, error=error.body())
        except ParleyError as error:
            return await self._seal(turn, next_slot, TurnOutcome.FAILED, error=error.body())
        finally:
            await watch.close()

    def _left_s(self, command: StartTurn) -> float:
        return max(0.0, (command.deadline_ms - now_ms()) / 1000)

    async def _prepare(self, turn: RunningTurn) -> None:
        """Gather, write the context into the log, and send the job that passes the pen."""
        ref, command = turn.command.turn, turn.command
        subject = subjects.turn_events(ref.home, ref.turn_id)
        async with self._writers.open(subject, turn.epoch) as writer:
            await writer.append(partial(_opening, ref.client_turn_id, turn.last_seq))
            await writer.append(partial(_stage, ref.client_turn_id, "gathering"))
            model = await self._models.choose(command.model)
            gathered = await self._gathering.gather(
                command, history_chars=history_chars(model.context_tokens)
            )
            self._note_gathered(turn, gathered)
            turn.citations = fitted(gathered.citations, model.context_tokens)
            await self._write_context(turn, writer)
            job = GenerateJob(
                turn=ref,
                base_slot=turn.epoch,
                last_seq=turn.last_seq,
                model=model.id,
                messages=assemble(command.text, gathered.history, turn.citations),
                question=command.text,
                citations=turn.citations,
                params=command.params,
                deadline_ms=command.deadline_ms,
            )
        await self._bus.store(
            subjects.llm_generate(model.pool),
            job.model_dump_json().encode(),
            headers=outgoing(extra={headers.TURN_ID: ref.turn_id}),
        )

    def _note_gathered(self, turn: RunningTurn, gathered: Gathered) -> None:
        turn.degraded |= gathered.degraded
        turn.note(
            history_ms=gathered.took_ms.get("memory"),
            embedded_ms=gathered.took_ms.get("npu"),
            retrieved_ms=gathered.took_ms.get("rag"),
            web_ms=gathered.took_ms.get("browser"),
            context_ready_ms=turn.since_ms(),
        )

    async def _write_context(self, turn: RunningTurn, writer: TurnWriter) -> None:
        turn_id = turn.command.turn.client_turn_id
        degraded = tuple(sorted(turn.degraded))

        def context(seq: int) -> bytes:
            return encode_event(
                ContextReady(seq=seq, turn_id=turn_id, citations=turn.citations, degraded=degraded)
            )

        await writer.append(context)
        await writer.append_settled(partial(_stage, turn_id, "generating"), timeout_s=EVENT_STORED_S)
        turn.last_seq = writer.seq - 1

    async def _follow(self, turn: RunningTurn, watch: GenerationWatch) -> bool:
        """Wait for the end of the generation, then end the turn."""
        next_slot = turn.epoch + 1
        try:
            async with asyncio.timeout(self._left_s(turn.command) + 1):
                finished = await watch.finished()
        except TimeoutError:
            ref = turn.command.turn
            standing = await read_turn_log(self._bus, ref.home, ref.turn_id)
            turn.last_seq, turn.text = standing.last_seq, standing.text
            error = ParleyError(ErrorCode.TIMEOUT, "The model took longer than allowed.")
            return await self._seal(turn, next_slot, TurnOutcome.FAILED, error=error.body())
        turn.last_seq = watch.last_seq
        turn.note(first_delta_ms=self._delta_ms(turn, watch), generated_ms=turn.since_ms())
        if finished is None:
            # Somebody else has sealed the turn: finish what stands.
            records = await self._pen.read_all(turn.command.turn.turn_id)
            last = records[-1]
            return isinstance(last, Seal) and await self._ending.finish(len(records), last)
        turn.text = finished.text
        turn.degraded |= set(finished.degraded)
        return await self._seal(turn, next_slot, _outcome(finished), finished=finished)

    def _delta_ms(self, turn: RunningTurn, watch: GenerationWatch) -> float | None:
        if watch.first_delta_ms is None:
            return None
        return round(watch.first_delta_ms - turn.command.accepted_at_ms, 1)

    async def _seal(
        self,
        turn: RunningTurn,
        number: int,
        outcome: TurnOutcome,
        *,
        finished: GenerationFinished | None = None,
        error: ErrorBody | None = None,
    ) -> bool:
        if finished is not None and finished.error_code is not None:
            error = ParleyError(finished.error_code, finished.error_message or "The model failed.").body()
        turn.note(total_ms=turn.since_ms())
        seal = new_seal(
            turn.command,
            outcome,
            text=turn.text,
            citations=turn.citations,
            last_seq=turn.last_seq,
            finished=finished,
            error=error,
            degraded=turn.degraded,
            timings=turn.timings,
        )
        return await self._ending.seal(number, seal)


def _outcome(finished: GenerationFinished) -> TurnOutcome:
    if finished.finish_reason == "cancelled":
        return TurnOutcome.CANCELLED
    return TurnOutcome.FAILED if finished.finish_reason == "error" else TurnOutcome.COMPLETED


def _opening(turn_id: str, follows: int, seq: int) -> bytes:
    return encode_event(EpochStarted(seq=seq, follows=follows, turn_id=turn_id, keep_chars=0))


def _stage(turn_id: str, stage: str, seq: int) -> bytes:
    return encode_event(StageChanged.model_validate({"seq": seq, "turn_id": turn_id, "stage": stage}))
