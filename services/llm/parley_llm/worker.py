"""Takes generate jobs of a pool: one epoch a delivery, and only the end of an answer acknowledges it."""

import asyncio
import logging
from collections.abc import Callable

from parley_contracts import subjects
from parley_contracts.claims import RefusedClaimsError
from parley_contracts.llm import GenerateJob
from parley_contracts.turns import PenClaim, PenRole
from parley_messaging import Bus, JobOutcome, QueuedJob
from parley_messaging.claims_desk import may_be_known_later
from parley_messaging.error_boundary import described
from parley_messaging.holds import Holds
from parley_messaging.message_headers import now_ms
from parley_messaging.pen import Pen, new_nonce
from parley_messaging.stops import Stops
from parley_messaging.turn_log import TurnLog, read_turn_log
from parley_messaging.turn_writer import TurnWriters
from pydantic import ValidationError

from parley_llm.generation import Generation

log = logging.getLogger("parley.llm")

MAX_WORKERS = 5
"""An answer that this many workers have begun since its runner asked is not tried again."""

MAX_UNREAD = 5
"""A job that cannot be read is left to others so often: a quarter of a minute, longer each time."""

EARLY_MS = 20
"""So young a turn's model is asked while the pen is claimed."""

NewGeneration = Callable[[GenerateJob], Generation]


class GenerationWorker:
    """Claims the pen after the runner that sent the job, or as the turn's first, and writes."""

    def __init__(
        self,
        bus: Bus,
        *,
        holder: str,
        holds: Holds,
        pen: Pen,
        writers: TurnWriters,
        stops: Stops,
        new_generation: NewGeneration,
    ) -> None:
        self._bus = bus
        self._holder = holder
        self._holds = holds
        self._pen = pen
        self._writers = writers
        self._stops = stops
        self._new_generation = new_generation

    async def work(self, delivery: QueuedJob) -> JobOutcome:
        """Handle one delivery of a job."""
        try:
            job = GenerateJob.model_validate_json(delivery.data)
        except ValidationError as error:
            is_dropped = delivery.deliveries >= MAX_UNREAD
            fault = described(error).message
            log.error("generate job cannot be read", extra={"is_dropped": is_dropped, "fault": fault})
            # A newer worker may be able to.
            return JobOutcome.DONE if is_dropped else JobOutcome.RETRY
        try:
            self._bus.claims.check_turn(
                subjects.ALL_GENERATE, job.turn.owner_id, job.turn.turn_id, delivery.headers
            )
        except RefusedClaimsError as error:
            return JobOutcome.RETRY if may_be_known_later(error, delivery) else JobOutcome.DONE
        generation = self._new_generation(job)
        with self._stops.following(job.turn.turn_id), self._holds.hold(job.turn.turn_id):
            async with asyncio.TaskGroup() as tasks:
                if delivery.deliveries == 1 and _is_new(job):
                    generation.ask_early(tasks)
                try:
                    claimed = await self._claim_and_look(job)
                    if isinstance(claimed, JobOutcome):
                        return claimed
                    return await self._write(job, generation, claimed)
                finally:
                    await generation.drop_early()

    async def _write(self, job: GenerateJob, generation: Generation, epoch: int) -> JobOutcome:
        turn = job.turn
        is_first = epoch == job.base_slot + 1
        if is_first:
            standing = TurnLog(last_seq=job.last_seq)
        else:
            standing = await read_turn_log(self._bus, turn.home, turn.turn_id)
        is_cancelled = self._stops.is_stopped(turn.turn_id)
        if is_cancelled or not is_first:
            # What was asked for early does not know what an earlier worker has written.
            await generation.drop_early()
        subject = subjects.turn_events(turn.home, turn.turn_id)
        async with self._writers.open(subject, epoch) as writer:
            if standing.finished is not None:
                await generation.repeat_end(writer, standing, standing.finished)
                return JobOutcome.DONE
            await generation.write(
                writer,
                standing,
                is_cancelled=is_cancelled,
                is_given_up=epoch - job.base_slot > MAX_WORKERS,
            )
        # The job now belongs to whoever has claimed the pen since; his acknowledgement ends it.
        later = await self._pen.read(turn.turn_id, epoch + 1)
        is_fenced = isinstance(later, PenClaim) and later.role is PenRole.WORKER
        return JobOutcome.LEAVE if is_fenced else JobOutcome.DONE

    async def _claim_and_look(self, job: GenerateJob) -> int | JobOutcome:
        """Claim, and have a stored stop of the turn found side by side with that.

        Neither waits for the other's answer, and no stop falls between: the read begins after the turn is
        followed, so a stop was stored before the read or is heard. It is sent behind the claim, and what
        the claim's answer says, or that it is lost, changes nothing about it.
        """
        async with asyncio.TaskGroup() as tasks:
            claiming = tasks.create_task(self._claim(job))
            tasks.create_task(self._stops.is_stored(job.turn.turn_id))
        return claiming.result()

    async def _claim(self, job: GenerateJob) -> int | JobOutcome:
        """Return the epoch won, or what becomes of a job that is not to be worked on.

        A job is stale when its turn has ended or has a newer runner. One that another worker has claimed
        is his while he says so; the delivery count is not asked, for it does not always tell a repeat.
        """
        number = job.base_slot + 1
        while True:
            claim = PenClaim(
                nonce=new_nonce(),
                role=PenRole.WORKER,
                holder=self._holder,
                home=job.turn.home,
                command=job.command if number == 1 else None,
            )
            standing = await self._pen.claim(job.turn.turn_id, number, claim)
            if standing.nonce == claim.nonce:
                return number
            if not (isinstance(standing, PenClaim) and standing.role is PenRole.WORKER):
                return JobOutcome.DONE
            if standing.home != job.turn.home:
                # The turn was there before, and whoever claimed it first chose where its events stand.
                return JobOutcome.DONE
            if await self._holds.is_held_by_another(job.turn.turn_id):
                return JobOutcome.LEAVE
            number += 1


def _is_new(job: GenerateJob) -> bool:
    """Return whether a turn was accepted only just now, and is no repeat of one that has ended.

    Nobody can have stopped or claimed it then, but by chance, and the model may be asked at once. What a call
    says that turns out to be nobody's is written nowhere.
    """
    command = job.command
    return command is not None and command.is_fresh and 0 <= now_ms() - command.accepted_at_ms < EARLY_MS
