"""Writes one answer into its turn's log: claim the pen, stream, end with `generation_finished`."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob
from parley_contracts.turn_events import (
    ALL_CHARS,
    ContextReady,
    EpochStarted,
    GenerationFinished,
    StageChanged,
    encode_event,
)
from parley_contracts.turns import EPOCH_SPAN, CallTotals, TokenUsage
from parley_messaging import Bus
from parley_messaging.message_headers import now_ms
from parley_messaging.stops import Stops
from parley_messaging.turn_log import TurnLog
from parley_messaging.turn_writer import Encode, TurnWriter
from pydantic_core import to_json

from parley_llm.asked_answer import AskedAnswer
from parley_llm.catalogue import Catalogue
from parley_llm.delta_window import DeltaWindow
from parley_llm.fault_log import fault_fields
from parley_llm.language_model import Chunk, FinalChunk, FinishReason
from parley_llm.model_chain import ModelChain
from parley_llm.written_answer import Strand, WrittenAnswer

log = logging.getLogger("parley.llm")

END_STORED_S = 30.0
"""How long a finished answer may wait for the bus to acknowledge it before the job is left to others."""


@dataclass(slots=True)
class Ending:
    """How a generation ended; turned into `generation_finished`."""

    model: str
    finish_reason: FinishReason | Literal["cancelled", "error"] = "stop"
    usage: TokenUsage = field(default_factory=TokenUsage)
    error: ParleyError | None = None
    degraded: tuple[str, ...] = ()
    calls: CallTotals = field(default_factory=CallTotals)

    def fail(self, error: ParleyError) -> None:
        """Have it end by an error."""
        self.finish_reason, self.error = "error", error


Opening = Callable[[], Awaitable[None]]


class Generation:
    """One job's answer, in one epoch, from the prefix that already stands in the log."""

    def __init__(
        self, bus: Bus, job: GenerateJob, catalogue: Catalogue, stops: Stops, *, window_ms: float
    ) -> None:
        self._bus = bus
        self._job = job
        self._catalogue = catalogue
        self._chain = ModelChain(catalogue, job)
        self._stops = stops
        self._window_ms = window_ms
        self._turn_id_json = to_json(job.turn.client_turn_id)
        self._written = WrittenAnswer(self._turn_id_json)
        self._early: AskedAnswer | None = None
        self._has_asked = False

    def ask_early(self, tasks: asyncio.TaskGroup) -> None:
        """Ask the model before the pen is won; to be followed by `drop_early`, used or not."""
        if not self._chain.is_empty:
            self._early = self._asked(self._chain.generate(), tasks)

    def _asked(self, chunks: AsyncGenerator[Chunk, None], tasks: asyncio.TaskGroup) -> AskedAnswer:
        self._has_asked = True
        return AskedAnswer(chunks, partial(self._stops.expiring, self._job.turn.turn_id), tasks)

    async def drop_early(self) -> None:
        """Abort a call that was made early and that nobody has use for."""
        if (early := self._take_early()) is not None:
            await early.aclose()

    def _take_early(self) -> AskedAnswer | None:
        early, self._early = self._early, None
        return early

    async def write(
        self, writer: TurnWriter, standing: TurnLog, *, is_cancelled: bool, is_given_up: bool = False
    ) -> None:
        """Write from `epoch_started` to `generation_finished`; returns when all of it is stored.

        Raises:
            NotStoredError: The end could not be stored; the job has to come again.
        """
        kept = self._job.kept_text
        # Who is first behind the runner has not read the log; what that keeps is no part of what is written.
        earlier = standing.text.removeprefix(kept)
        standing_chars = len(earlier) + standing.reasoning_chars - standing.earlier_reasoning_chars
        written = earlier if await self._chain.goes_on(earlier) else ""
        self._written = WrittenAnswer(self._turn_id_json, written, untold=self._job.run_by_parley)
        opening = partial(self._open, writer, self._opening(standing, len(kept) + len(written)))
        if is_cancelled:
            ending = Ending(self._job.model, "cancelled")
        elif is_given_up:
            ending = _failed(self._job.model, ErrorCode.INTERNAL, "The answer failed several times.")
        elif self._chain.is_empty:
            ending = _failed(self._job.model, ErrorCode.MODEL_NOT_FOUND, "There is no such model.")
        else:
            ending = Ending(self._job.model)
            await self._stream(writer, written, opening, ending)
            ending.model = self._chain.answering
            ending.degraded = ("model",) if self._chain.is_replaced else ()
        if not ending.usage.is_told:
            ending.usage = self._guessed_usage(standing_chars - len(written))
        elif standing_chars:
            # The model tells of its own call alone.
            ending.usage += self._guessed(standing_chars)
        await opening()
        await writer.append_settled(partial(self._end, ending=ending), timeout_s=END_STORED_S)

    async def repeat_end(self, writer: TurnWriter, standing: TurnLog, finished: GenerationFinished) -> None:
        """End this epoch as an earlier one has ended: a finished answer is not asked for again."""
        started = EpochStarted(
            seq=0,
            follows=standing.last_seq,
            turn_id=self._job.turn.client_turn_id,
            keep_chars=len(finished.text),
            keep_reasoning_chars=standing.reasoning_chars,
            keep_tool_calls=len(finished.tool_calls),
        )
        await writer.append(lambda seq: encode_event(started.model_copy(update={"seq": seq})))
        await writer.append_settled(
            lambda seq: encode_event(finished.model_copy(update={"seq": seq})), timeout_s=END_STORED_S
        )

    def _opening(self, standing: TurnLog, keep_chars: int) -> list[Encode]:
        """Return what the epoch begins with."""
        started = partial(self._epoch_started, standing=standing, keep_chars=keep_chars)
        if self._job.last_seq or standing.context is not None:
            return [started]
        # In place of the runner, which had nothing to gather.
        return [started, self._context_ready, self._generating]

    async def _open(self, writer: TurnWriter, opening: Sequence[Encode]) -> None:
        """Append the opening, or what is left of it: a stop may have broken off an earlier call."""
        while (written := writer.seq % EPOCH_SPAN) < len(opening):
            await writer.append(opening[written])

    async def _stream(self, writer: TurnWriter, written: str, opening: Opening, ending: Ending) -> None:
        """Write what the chain of models answers, and how that ended."""
        left_s = max(0.0, (self._job.deadline_ms - now_ms()) / 1000)
        try:
            async with asyncio.timeout(left_s) as clock:
                with self._stops.expiring(self._job.turn.turn_id, clock):
                    await self._copy(writer, written, ending, opening)
        except TimeoutError:
            if self._stops.is_stopped(self._job.turn.turn_id):
                ending.finish_reason = "cancelled"
            else:
                ending.fail(ParleyError(ErrorCode.TIMEOUT, "The answer took longer than allowed."))
        except ParleyError as error:
            if self._written.is_empty and error.code is not ErrorCode.TIMEOUT:
                # Who refuses is not paid.
                self._has_asked = False
            ending.fail(error)
        except Exception as error:  # noqa: BLE001 - its words may be what was asked or answered
            log.error("model failed", extra={"model": self._chain.answering, **fault_fields(error)})
            ending.fail(ParleyError(ErrorCode.INTERNAL, "The model failed."))

    def _guessed_usage(self, given_up_chars: int) -> TokenUsage:
        """Return about what an answer has cost that no model has counted: stopped, failed or given up.

        What an earlier worker wrote was asked for too, also where this one has begun anew.
        """
        answer_chars = given_up_chars + self._written.chars
        if not (self._has_asked or answer_chars):
            return TokenUsage()
        return self._guessed(answer_chars)

    def _guessed(self, answer_chars: int) -> TokenUsage:
        said_chars = sum(len(one.content) for one in self._job.messages)
        sent_chars = sum(one.prompt_chars for one in self._job.attachments)
        return TokenUsage.guessed(said_chars + sent_chars, answer_chars)

    async def _copy(self, writer: TurnWriter, written: str, ending: Ending, opening: Opening) -> None:
        async def send(strand: Strand, text: str) -> None:
            if strand.is_told:
                await writer.append(lambda seq: strand.frame(seq, text))
            # The answer is what stands in the log: a delta that found no room there is no part of it.
            strand.note(text)

        try:
            async with asyncio.TaskGroup() as tasks:
                asked = self._take_early() or self._asked(self._chain.generate(written=written), tasks)
                async with aclosing(asked) as answer:
                    # The model takes longer to begin than the log to be opened: its call goes out first.
                    await asyncio.sleep(0)
                    await opening()
                    await self._pour(answer, DeltaWindow(send, self._window_ms, tasks), ending)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _pour(self, answer: AskedAnswer, window: DeltaWindow, ending: Ending) -> None:
        """Pass an answer on; what was written is sent also when the model is stopped or fails."""
        strand_of = self._written.strand_of
        try:
            chunk = await answer.first()
            while not isinstance(chunk, FinalChunk):
                await window.add(*strand_of(chunk))
                chunk = await anext(answer.chunks)
            ending.usage, ending.finish_reason = chunk.usage, chunk.finish_reason
            ending.calls = chunk.calls or ending.calls
        finally:
            async with asyncio.timeout(END_STORED_S):
                await window.flush()

    def _epoch_started(self, seq: int, *, standing: TurnLog, keep_chars: int) -> bytes:
        """Return the event that says what stands: where text does, what was thought before it does too."""
        return encode_event(
            EpochStarted(
                seq=seq,
                follows=standing.last_seq,
                turn_id=self._job.turn.client_turn_id,
                keep_chars=keep_chars,
                keep_reasoning_chars=self._kept_reasoning_chars(standing, keep_chars),
            )
        )

    def _kept_reasoning_chars(self, standing: TurnLog, keep_chars: int) -> int:
        """Return how much of what was thought stands; who is first in a later round has not read how much."""
        if self._job.rounds and standing.last_seq == self._job.last_seq:
            return ALL_CHARS
        goes_on = keep_chars > len(self._job.kept_text)
        return standing.reasoning_chars if goes_on else standing.earlier_reasoning_chars

    def _context_ready(self, seq: int) -> bytes:
        return encode_event(ContextReady(seq=seq, turn_id=self._job.turn.client_turn_id))

    def _generating(self, seq: int) -> bytes:
        return encode_event(StageChanged(seq=seq, turn_id=self._job.turn.client_turn_id, stage="generating"))

    def _end(self, seq: int, *, ending: Ending) -> bytes:
        cost_micros = self._catalogue.cost_micros(ending.model, ending.usage)
        # Calls of an answer that was stopped, or that failed, may be half-written: nobody is to run them.
        is_whole = ending.finish_reason not in ("cancelled", "error")
        return encode_event(
            GenerationFinished(
                seq=seq,
                turn_id=self._job.turn.client_turn_id,
                text=self._job.kept_text + self._written.text,
                tool_calls=self._written.tool_calls if is_whole else (),
                model=ending.model,
                usage=ending.usage,
                finish_reason=ending.finish_reason,
                error_code=ending.error.code if ending.error else None,
                error_message=ending.error.message if ending.error else None,
                error_retryable=ending.error.retryable if ending.error else None,
                error_retry_after_s=ending.error.retry_after_s if ending.error else None,
                degraded=ending.degraded,
                calls=ending.calls.model_copy(update={"cost_micros": cost_micros}),
            )
        )


def _failed(model: str, code: ErrorCode, message: str) -> Ending:
    return Ending(model, "error", error=ParleyError(code, message))
