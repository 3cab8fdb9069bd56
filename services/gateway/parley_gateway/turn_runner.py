"""Runs a turn: claim the pen, have it prepared, follow the worker's log, end the turn; or take one over."""

import asyncio
import logging

from parley_contracts import headers
from parley_contracts.claims import RefusedClaimsError
from parley_contracts.errors import ErrorBody, ErrorCode, ParleyError
from parley_contracts.turn_events import GenerationFinished
from parley_contracts.turns import EPOCH_SPAN, PenClaim, PenRole, Seal, StartTurn, TurnOutcome
from parley_messaging import Bus, JobOutcome, QueuedJob
from parley_messaging.acting import acting_for
from parley_messaging.claims_desk import may_be_known_later
from parley_messaging.error_boundary import described
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen, new_nonce
from parley_messaging.stops import Stops
from parley_messaging.turn_log import read_turn_log
from parley_messaging.turn_watch import TurnWatches
from pydantic import ValidationError

from parley_gateway.citation_counts import CitationCounts
from parley_gateway.generation_watch import GenerationWatch
from parley_gateway.pen_passing import PenPassing
from parley_gateway.pen_records import runner_claims, untaken_job, was_taken
from parley_gateway.preparation import Preparation, is_at_once
from parley_gateway.question_keeper import QuestionKeeper
from parley_gateway.running_turn import RunningTurn
from parley_gateway.tool_rounds import ToolRounds, without_parleys
from parley_gateway.turn_claims import acting_of
from parley_gateway.turn_ending import Sealing, TurnEnding, new_seal

log = logging.getLogger("parley.gateway")

MAX_RUNNERS = 3
"""A turn that this many runners have died of is not tried again."""

MAX_UNREAD = 4
"""A turn that cannot be read, and of which somebody else has the pen, is left to others so often."""

LOOK_S = 3.0
"""How often a runner without a claim looks who has made the first one, until its worker has."""

WORKER_GRACE_S = 1.0
"""How long past its deadline a turn waits for the worker to say that the deadline has passed."""


class TurnRunner:
    """Takes turns off the TURNS queue."""

    def __init__(
        self,
        bus: Bus,
        *,
        holder: str,
        holds: Holds,
        pen: Pen,
        watches: TurnWatches,
        stops: Stops,
        preparation: Preparation,
        ending: TurnEnding,
        questions: QuestionKeeper,
        counts: CitationCounts,
        rounds: ToolRounds,
    ) -> None:
        self._bus = bus
        self._holder = holder
        self._holds = holds
        self._pen = pen
        self._watches = watches
        self._stops = stops
        self._preparation = preparation
        self._passing = PenPassing(stops, preparation)
        self._ending = ending
        self._questions = questions
        self._counts = counts
        self._rounds = rounds

    async def work(self, delivery: QueuedJob) -> JobOutcome:
        """Handle one delivery of a turn."""
        try:
            turn = RunningTurn(StartTurn.model_validate_json(delivery.data))
        except ValidationError as error:
            log.error("turn cannot be read", extra={"fault": described(error).message})
            return await self._end_unreadable(delivery)
        try:
            acting = acting_of(self._bus.claims, turn, delivery)
        except RefusedClaimsError as error:
            return await self._refused(turn, delivery, error)
        with acting_for(acting):
            return await self._run(turn, delivery)

    async def _run(self, turn: RunningTurn, delivery: QueuedJob) -> JobOutcome:
        turn_id = turn.command.turn.turn_id
        with self._stops.following(turn_id), self._holds.hold(turn_id):
            begins_at_once = is_at_once(turn.command)
            if begins_at_once and delivery.deliveries == 1:
                return _settled(await self._begin_first(turn))
            # Delivered again, its runner may be there without a claim that says so.
            if begins_at_once and await self._holds.is_held_by_another(turn_id):
                return JobOutcome.LEAVE
            claim = self._claim(turn)
            if (await self._pen.claim(turn_id, 1, claim)).nonce == claim.nonce:
                turn.epoch = 1
                return _settled(await self._begin_first(turn))
            # Delivered again does not mean that its runner is gone, and the delivery count is no proof.
            if not begins_at_once and await self._holds.is_held_by_another(turn_id):
                return JobOutcome.LEAVE
            return _settled(await self._go_on(turn))

    async def _refused(self, turn: RunningTurn, delivery: QueuedJob, error: RefusedClaimsError) -> JobOutcome:
        """End a turn that nobody vouches for, in nobody's conversation; one that there was stays as it is."""
        if may_be_known_later(error, delivery):
            return JobOutcome.RETRY
        if await self._pen.read(turn.command.turn.turn_id, 1) is not None:
            return JobOutcome.DONE
        turn.command = turn.command.model_copy(update={"is_stored": False})
        return _settled(await self._seal(turn, 1, TurnOutcome.FAILED, error=error.body()))

    async def _end_unreadable(self, delivery: QueuedJob) -> JobOutcome:
        """Fail a turn whose command cannot be read, by its header, if somebody vouches for that."""
        try:
            turn = RunningTurn(StartTurn.model_validate_json(delivery.headers[headers.TURN]))
        except (KeyError, ValidationError):
            log.error("turn without a readable header is dropped")
            return JobOutcome.DONE
        try:
            acting_of(self._bus.claims, turn, delivery)
        except RefusedClaimsError as error:
            return await self._refused(turn, delivery, error)
        error = ParleyError(ErrorCode.INTERNAL, "The turn could not be read.")
        outcome = _settled(await self._seal(turn, 1, TurnOutcome.FAILED, error=error.body()))
        return JobOutcome.DONE if delivery.deliveries >= MAX_UNREAD else outcome

    async def _begin_first(self, turn: RunningTurn) -> Sealing:
        """Run a turn that nobody has run."""
        with self._questions.keeping(turn.command):
            return await self._begin(turn)

    async def _go_on(self, turn: RunningTurn) -> Sealing:
        """Go on with a turn whose runner is gone, from wherever it stands."""
        records = await self._pen.read_all(turn.command.turn.turn_id)
        first, last = records[0], records[-1]
        # Whoever claimed first chose where the events stand, and what the turn was asked.
        command = (first.command if isinstance(first, PenClaim) else None) or turn.command
        ref = command.turn.model_copy(update={"home": first.home})
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

    async def _take_over(self, turn: RunningTurn, records: list[PenClaim | Seal]) -> Sealing:
        """Claim the slot after a runner that is gone, and begin again from what the log says."""
        ref = turn.command.turn
        standing = await read_turn_log(self._bus, ref.home, ref.turn_id)
        turn.last_seq, turn.text = standing.last_seq, standing.text
        if standing.rounds or standing.asked is not None:
            turn.restore(standing)
        if standing.asked is not None and self._rounds.takes(turn, standing.asked):
            turn.begin_round(standing.asked)
        if runner_claims(records) >= MAX_RUNNERS:
            error = ParleyError(ErrorCode.INTERNAL, "The turn failed several times and is given up.")
            return await self._seal(turn, len(records) + 1, TurnOutcome.FAILED, error=error.body())
        claim, number = self._claim(turn), len(records) + 1
        if (await self._pen.claim(ref.turn_id, number, claim)).nonce != claim.nonce:
            return Sealing.A_RUNNER_HAS_IT
        turn.epoch = number
        return await (self._call_on(turn) if turn.rounds else self._begin(turn))

    async def _rejoin(self, turn: RunningTurn, slots: int) -> Sealing:
        """Follow a generation that another runner began; its worker is never fenced."""
        ref = turn.command.turn
        turn.restore(await read_turn_log(self._bus, ref.home, ref.turn_id))
        turn.epoch = slots
        watch = GenerationWatch(self._watches, ref)
        if turn.rounds:
            # The log is heard from its beginning: the ends of rounds that are through are none of now.
            watch.forget(turn.rounds[-1].finished)
        await watch.open()
        try:
            return await self._follow(turn, watch)
        finally:
            await watch.close()

    async def _begin(self, turn: RunningTurn) -> Sealing:
        """Prepare a turn whose pen this runner has just won, and follow its answer.

        The first claim of one that has nothing to gather is its worker's; until then its epoch is 0.
        """
        turn.note(claimed_ms=turn.since_ms())
        watch = GenerationWatch(self._watches, turn.command.turn)
        await watch.open(is_new=turn.epoch <= 1)
        try:
            sealing = await self._ended_by(turn, await self._passing.first(turn))
            return await self._follow(turn, watch) if sealing is None else sealing
        finally:
            await watch.close()

    async def _call_on(self, turn: RunningTurn) -> Sealing:
        """Go on with a round of tools whose pen this runner has just won, and follow the answer."""
        watch = GenerationWatch(self._watches, turn.command.turn)
        await watch.open()
        try:
            sealing = await self._call_tools(turn, watch)
            return await self._follow(turn, watch) if sealing is None else sealing
        finally:
            await watch.close()

    async def _call_tools(self, turn: RunningTurn, watch: GenerationWatch) -> Sealing | None:
        """Have the tools of the last round called; None once a worker is to write again."""
        watch.forget(turn.rounds[-1].finished)
        return await self._ended_by(turn, await self._passing.again(turn, self._rounds.run))

    async def _run_round(
        self, turn: RunningTurn, watch: GenerationWatch, finished: GenerationFinished
    ) -> Sealing | None:
        """Take the pen back from the worker that has ended with calls of tools, and have them called."""
        number, claim = finished.seq // EPOCH_SPAN + 1, self._claim(turn)
        standing = await self._pen.claim(turn.command.turn.turn_id, number, claim)
        if isinstance(standing, Seal):
            return await self._ending.finish(number, standing)
        if standing.role is PenRole.WORKER:
            watch.forget(finished)
            return None
        if standing.nonce != claim.nonce:
            return Sealing.A_RUNNER_HAS_IT
        turn.epoch, turn.last_seq, turn.text = number, finished.seq, finished.text
        turn.degraded |= set(finished.degraded)
        turn.begin_round(finished)
        return await self._call_tools(turn, watch)

    async def _ended_by(
        self, turn: RunningTurn, failure: tuple[TurnOutcome, ErrorBody | None] | None
    ) -> Sealing | None:
        """End a turn whose pen could not be passed; None where it was."""
        if failure is None:
            return None
        outcome, error = failure
        return await self._seal(turn, turn.epoch + 1, outcome, error=error)

    async def _follow(self, turn: RunningTurn, watch: GenerationWatch) -> Sealing:
        """Wait for the end of the generation, then end the turn; a worker who writes anew is waited for."""
        while True:
            if not turn.epoch and (sealing := await self._look_at_first(turn)) is not None:
                return sealing
            left_s = turn.left_s + WORKER_GRACE_S
            try:
                async with asyncio.timeout(left_s if turn.epoch else min(left_s, LOOK_S)):
                    finished = await watch.finished()
            except TimeoutError:
                if not turn.epoch and left_s > LOOK_S:
                    continue
                return await self._end_late(turn)
            turn.note(first_delta_ms=self._delta_ms(turn, watch), generated_ms=turn.since_ms())
            if finished is None:
                return await self._finish_standing(turn)
            if self._rounds.takes(turn, finished):
                if (sealing := await self._run_round(turn, watch, finished)) is not None:
                    return sealing
                continue
            sealing = await self._seal_finished(turn, finished)
            if sealing is not Sealing.A_WORKER_WRITES:
                return sealing
            watch.forget(finished)

    async def _look_at_first(self, turn: RunningTurn) -> Sealing | None:
        """See who has claimed the turn that this runner has not: None while nobody has but its own worker.

        Another runner may have, who was given the turn as well and goes on with it, or is gone; or it is the
        repeat of a turn that stands elsewhere and has left the queue long ago.
        """
        ref = turn.command.turn
        first = await self._pen.read(ref.turn_id, 1)
        if first is None:
            return None
        if isinstance(first, PenClaim) and first.role is PenRole.WORKER and first.home == ref.home:
            turn.epoch = 1
            return None
        if await self._holds.is_held_by_another(ref.turn_id):
            return Sealing.A_RUNNER_HAS_IT
        if turn.sent is not None:
            await self._preparation.withdraw(turn.sent)
        return await self._go_on(turn)

    async def _end_late(self, turn: RunningTurn) -> Sealing:
        """End a turn whose time is over, with what its log says."""
        ref = turn.command.turn
        standing = await read_turn_log(self._bus, ref.home, ref.turn_id)
        if standing.finished is not None:
            if not self._rounds.takes(turn, standing.finished):
                return await self._seal_finished(turn, standing.finished)
            turn.begin_round(standing.finished)
        turn.last_seq, turn.text = standing.last_seq, standing.text
        records = await self._pen.read_all(ref.turn_id)
        untaken = untaken_job(turn, records)
        error = ParleyError(ErrorCode.TIMEOUT, "The model took longer than allowed.")
        if untaken is not None:
            error = ParleyError(ErrorCode.UNAVAILABLE, "No worker of the model took the turn in its time.")
        sealing = await self._seal(
            turn,
            turn.epoch + 1,
            TurnOutcome.FAILED,
            error=error.body(),
            was_asked=was_taken(records, turn.earlier),
        )
        if untaken is not None:
            await self._preparation.withdraw(untaken)
        return sealing

    async def _finish_standing(self, turn: RunningTurn) -> Sealing:
        """Finish what stands: somebody else has sealed the turn."""
        records = await self._pen.read_all(turn.command.turn.turn_id)
        last = records[-1]
        if not isinstance(last, Seal):
            return Sealing.NOT_STORED
        if (untaken := untaken_job(turn, records)) is not None:
            await self._preparation.withdraw(untaken)
        return await self._ending.finish(len(records), last)

    async def _seal_finished(self, turn: RunningTurn, finished: GenerationFinished) -> Sealing:
        """Seal a finished answer behind the worker who has written it."""
        finished = without_parleys(turn.command, finished)
        turn.text, turn.last_seq = finished.text, finished.seq
        turn.degraded |= set(finished.degraded)
        behind_worker = finished.seq // EPOCH_SPAN + 1
        return await self._seal(turn, behind_worker, _outcome(finished), finished=finished)

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
        was_asked: bool = False,
    ) -> Sealing:
        if finished is not None and finished.error is not None:
            error = finished.error.body()
        turn.note(total_ms=turn.since_ms())
        seal = new_seal(
            turn.command,
            outcome,
            text=turn.text,
            citations=turn.citations,
            is_searched=turn.is_searched,
            last_seq=turn.last_seq,
            finished=finished,
            error=error,
            degraded=turn.degraded,
            timings=turn.timings,
            earlier=turn.earlier,
            was_asked=was_asked,
        )
        sealing = await self._ending.seal(number, seal, ends_writing=finished is None)
        if outcome is TurnOutcome.COMPLETED and sealing in (Sealing.DONE, Sealing.NOT_STORED):
            self._counts.note(seal, turn.citations, owner_id=turn.command.documents_owner_id)
        return sealing


def _settled(sealing: Sealing) -> JobOutcome:
    return JobOutcome.DONE if sealing is Sealing.DONE else JobOutcome.RETRY


def _outcome(finished: GenerationFinished) -> TurnOutcome:
    if finished.finish_reason == "cancelled":
        return TurnOutcome.CANCELLED
    return TurnOutcome.FAILED if finished.finish_reason == "error" else TurnOutcome.COMPLETED
