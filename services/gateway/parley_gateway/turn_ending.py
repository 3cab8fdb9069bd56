"""Ends a turn: seal, store from the seal, terminal event. Whoever finds a seal redoes what is left."""

import logging
from collections.abc import Iterable, Sequence
from enum import Enum

from parley_contracts import subjects
from parley_contracts.citations import Citation
from parley_contracts.errors import ErrorBody, ErrorCode, ParleyError
from parley_contracts.memory import Stored, StoreTurn
from parley_contracts.turn_events import (
    EpochOpening,
    GenerationFinished,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    encode_event,
)
from parley_contracts.turns import (
    EPOCH_SPAN,
    CallTotals,
    PenRole,
    Seal,
    StartTurn,
    TokenUsage,
    TurnOutcome,
    TurnTimings,
)
from parley_messaging import Bus
from parley_messaging.acting import acting_for, system_of
from parley_messaging.circuit import Circuit
from parley_messaging.message_headers import now_ms
from parley_messaging.pen import Pen, new_nonce
from parley_messaging.turn_writer import TurnWriters

from parley_gateway.cited import cited, support
from parley_gateway.spending import asked_chars, is_visitors
from parley_gateway.turn_quotas import TurnQuotas

log = logging.getLogger("parley.gateway")

STORE_BUDGET_S = 2.0
"""Memory being away delays the terminal event by no more than this."""

TERMINAL_STORED_S = 10.0


def new_seal(
    command: StartTurn,
    outcome: TurnOutcome,
    *,
    text: str,
    citations: Sequence[Citation],
    last_seq: int,
    is_searched: bool = False,
    finished: GenerationFinished | None = None,
    error: ErrorBody | None = None,
    degraded: Iterable[str] = (),
    timings: TurnTimings | None = None,
    earlier: Sequence[GenerationFinished] = (),
    was_asked: bool = False,
) -> Seal:
    """Return a seal; of `citations` only those that `text` cites are kept.

    `earlier` are the ends of generations before the last one, which called tools: `text` begins with theirs.
    `was_asked`: a worker has had the turn since, and so a model, whatever was told of it.
    """
    cites = cited(text, citations)
    is_whole = outcome is TurnOutcome.COMPLETED
    usage = finished.usage if finished else TokenUsage()
    answer_chars = len(text) - (len(earlier[-1].text) if earlier else 0)
    has_cost = answer_chars > 0 or (was_asked and finished is None)
    if has_cost and not usage.is_told:
        usage = TokenUsage.guessed(asked_chars(command), answer_chars)
    # Of a call whose end nobody has told, nobody has told the cost.
    calls = finished.calls if finished else CallTotals(cost_micros=None if has_cost else 0)
    return Seal(
        nonce=new_nonce(),
        turn=command.turn,
        conversation_id=command.conversation_id,
        outcome=outcome,
        user_text=command.text,
        attachments=command.attachments,
        text=text,
        tool_calls=finished.tool_calls if finished and is_whole else (),
        citations=cites,
        support=support(citations, cites, is_searched=is_searched) if is_whole else None,
        model=_model_of(command, finished, earlier) if finished or has_cost or earlier else None,
        usage=sum((one.usage for one in earlier), usage),
        calls=sum((one.calls for one in earlier), calls),
        finish_reason=finished.finish_reason if finished else None,
        error=error,
        degraded=tuple(sorted(degraded)),
        timings=timings or TurnTimings(),
        last_seq=last_seq,
        is_stored=command.is_stored,
        bot_id=command.bot.id if command.bot else None,
        payer_id=command.bot.owner_id if command.bot and is_visitors(command) else None,
        accepted_at_ms=command.accepted_at_ms,
        sealed_at_ms=now_ms(),
    )


def _model_of(
    command: StartTurn, finished: GenerationFinished | None, earlier: Sequence[GenerationFinished]
) -> str | None:
    """Return who wrote an answer: the model of its last end, or the one that was asked for."""
    if last := finished or next(reversed(earlier), None):
        return last.model
    return command.chosen.id if command.chosen else command.model


class Sealing(Enum):
    """What became of an attempt to end a turn."""

    DONE = "done"
    NOT_STORED = "not stored"
    A_WORKER_WRITES = "a worker writes"
    A_RUNNER_HAS_IT = "a runner has it"


class TurnEnding:
    """Competes for the one slot that ends a turn, and does what follows from whatever stands there."""

    def __init__(
        self,
        bus: Bus,
        pen: Pen,
        writers: TurnWriters,
        storing: Circuit,
    ) -> None:
        self._bus = bus
        self._pen = pen
        self._writers = writers
        self._storing = storing
        self._quotas: TurnQuotas | None = None

    def count_by(self, quotas: TurnQuotas | None) -> None:
        """Have every ending counted from now on; None counts none."""
        self._quotas = quotas

    async def seal(self, number: int, seal: Seal, *, ends_writing: bool = True) -> Sealing:
        """Put the seal into slot `number` or a later one, and finish the turn with the seal that stands.

        Args:
            number: The first slot that the sealer knows to be free.
            seal: The ending.
            ends_writing: Whether it ends the turn over the head of a worker who has the pen. The seal of a
                finished answer does not: another worker's text would already be before the viewers.

        Returns:
            What became of it.
        """
        turn_id = seal.turn.turn_id
        while True:
            standing = await self._pen.claim(turn_id, number, seal)
            if isinstance(standing, Seal):
                return await self.finish(number, standing)
            if standing.role is PenRole.WORKER and not ends_writing:
                return Sealing.A_WORKER_WRITES
            if standing.role is PenRole.RUNNER and seal.outcome is not TurnOutcome.CANCELLED:
                # Only a stop ends a turn over the head of a newer runner.
                return Sealing.A_RUNNER_HAS_IT
            number += 1

    async def finish(self, number: int, seal: Seal) -> Sealing:
        """Store the turn, publish its terminal event and count what it has spent."""
        stored = await self._store(seal)
        event = terminal_event(number, seal, stored)
        subject = subjects.turn_events(seal.turn.home, seal.turn.turn_id)
        async with self._writers.open(subject, number) as writer:
            await writer.append_settled(lambda _: encode_event(event), timeout_s=TERMINAL_STORED_S)
        is_counted = self._quotas is None or await self._quotas.record(seal)
        return Sealing.DONE if is_counted and stored != "pending" else Sealing.NOT_STORED

    async def _store(self, seal: Seal) -> str:
        if not seal.is_stored:
            return "off"
        request = StoreTurn(owner_id=seal.turn.owner_id, seal=seal)
        try:
            with acting_for(system_of(request.owner_id)), self._storing.passing(STORE_BUDGET_S):
                await self._bus.request(subjects.MEMORY_STORE_TURN, request, Stored, timeout_s=STORE_BUDGET_S)
        except ParleyError as error:
            # Forbidden is what a service says that does not know our key yet: the answer is worth waiting.
            if not error.retryable and error.code is not ErrorCode.FORBIDDEN:
                # Its conversation was deleted while the turn ran, say: there is nothing to keep it in.
                log.warning("turn cannot be stored", extra={"code": error.code})
                return "off"
            log.warning("turn is not stored yet", extra={"code": error.code})
            return "pending"
        return "yes"


def terminal_event(number: int, seal: Seal, stored: str) -> EpochOpening:
    """Return the one event that ends a turn; the same seal gives the same seq."""
    seq = number * EPOCH_SPAN
    turn_id = seal.turn.client_turn_id
    if seal.outcome is TurnOutcome.COMPLETED:
        return TurnCompleted.model_validate(
            {
                "seq": seq,
                "follows": seal.last_seq,
                "turn_id": turn_id,
                "conversation_id": seal.conversation_id,
                "model": seal.model,
                "usage": seal.usage,
                "finish_reason": seal.finish_reason or "stop",
                "tool_calls": seal.tool_calls,
                "citations": seal.citations,
                "support": seal.support,
                "degraded": seal.degraded,
                "timings": seal.timings,
                "stored": stored,
            }
        )
    if seal.outcome is TurnOutcome.CANCELLED:
        return TurnCancelled(
            seq=seq,
            follows=seal.last_seq,
            turn_id=turn_id,
            conversation_id=seal.conversation_id,
            kept_chars=len(seal.text),
            is_confirmed=seal.is_confirmed,
        )
    error = seal.error or ParleyError(ErrorCode.INTERNAL, "The turn failed.").body()
    return TurnFailed(
        seq=seq,
        follows=seal.last_seq,
        turn_id=turn_id,
        conversation_id=seal.conversation_id,
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
        kept_chars=len(seal.text),
    )
