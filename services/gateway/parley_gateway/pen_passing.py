"""Passes the pen of a turn to a worker: a job is prepared and sent, unless a stop or the time ends that."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from parley_contracts.errors import ErrorBody, ErrorCode, ParleyError
from parley_contracts.turns import TurnOutcome
from parley_messaging.stops import Stops
from pydantic import ValidationError

from parley_gateway.preparation import Preparation, PreparedJob
from parley_gateway.running_turn import RunningTurn

log = logging.getLogger("parley.gateway")

Prepare = Callable[[RunningTurn], Coroutine[Any, Any, PreparedJob]]
Failure = tuple[TurnOutcome, ErrorBody | None]
"""How a turn has to end whose pen could not be passed."""


class PenPassing:
    """For the first generation of a turn and for each after tools were called."""

    def __init__(self, stops: Stops, preparation: Preparation) -> None:
        self._stops = stops
        self._preparation = preparation

    async def first(self, turn: RunningTurn) -> Failure | None:
        """Have a model asked that was not asked yet; None when the pen is passed."""
        return await self._pass(turn, self._first_job)

    async def again(self, turn: RunningTurn, prepare: Prepare) -> Failure | None:
        """Have it asked again, by the job that `prepare` returns; None when the pen is passed."""
        return await self._pass(turn, partial(self._heeding_stops, prepare=prepare))

    async def _pass(self, turn: RunningTurn, prepare: Prepare) -> Failure | None:
        turn_id = turn.command.turn.turn_id
        try:
            async with asyncio.timeout(turn.left_s) as clock:
                with self._stops.expiring(turn_id, clock):
                    job = await prepare(turn)
                    if self._stops.is_stopped(turn_id):
                        return TurnOutcome.CANCELLED, None
                    turn.sent = await self._preparation.pass_pen(job, turn.epoch)
        except TimeoutError:
            if self._stops.is_stopped(turn_id):
                return TurnOutcome.CANCELLED, None
            late = ParleyError(ErrorCode.TIMEOUT, "The turn took longer than allowed.")
            return TurnOutcome.FAILED, late.body()
        except ParleyError as error:
            return TurnOutcome.FAILED, error.body()
        except ValidationError:
            # The same command would fail in the same way for every runner.
            log.exception("turn cannot be prepared")
            fault = ParleyError(ErrorCode.INTERNAL, "The turn could not be prepared.", retryable=False)
            return TurnOutcome.FAILED, fault.body()
        return None

    async def _first_job(self, turn: RunningTurn) -> PreparedJob:
        model = None if turn.epoch else turn.command.chosen
        if model:
            # A worker looks for a stored stop himself.
            return self._preparation.at_once(turn, model)
        return await self._heeding_stops(turn, prepare=self._preparation.run)

    async def _heeding_stops(self, turn: RunningTurn, *, prepare: Prepare) -> PreparedJob:
        """Prepare a job, and meanwhile have a stored stop of the turn found, which ends that."""
        stored = self._stops.is_stored(turn.command.turn.turn_id, within_s=turn.left_s)
        try:
            async with asyncio.TaskGroup() as tasks:
                # Asked first, so that the answer is there when the events are stored.
                tasks.create_task(stored)
                preparing = tasks.create_task(prepare(turn))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        return preparing.result()
