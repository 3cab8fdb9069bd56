"""The rounds of a turn whose model calls tools that Parley runs: call them, tell, ask the model again.

What is finished stands in the log before the pen passes. Who takes over reads it there and calls again only
what has no end yet.
"""

import asyncio
from functools import partial

from parley_contracts import subjects
from parley_contracts.tools import ToolCall
from parley_contracts.turn_events import (
    ALL_CHARS,
    EpochStarted,
    GenerationFinished,
    StageChanged,
    ToolCalled,
    ToolFinished,
    encode_event,
)
from parley_contracts.turns import StartTurn
from parley_messaging.turn_writer import TurnWriter, TurnWriters

from parley_gateway.file_room import file_chars
from parley_gateway.preparation import EVENT_STORED_S, Preparation, PreparedJob
from parley_gateway.prompt import told_chars
from parley_gateway.running_turn import Prompt, RunningTurn, ToolRound
from parley_gateway.tool_calling import ToolCalling

MAX_CALLS = 16
"""Of one round; the model is told that the others were too many."""

CALLS_AT_ONCE = 8
_CUT = "\n[The rest, {left:,} characters, is left out.]"
_TOO_MANY = f"Not called: at most {MAX_CALLS} tools are called at once."
_NO_ROOM = "Not called: there is no room for more results. Answer with what you have."


def is_of_parley(command: StartTurn, finished: GenerationFinished) -> bool:
    """Return whether a generation ended with calls that Parley runs, and none that the caller has to run."""
    own = {spec.name for spec in command.tools}
    calls = finished.tool_calls
    return bool(command.named_tools and calls) and not any(call.name in own for call in calls)


def without_parleys(command: StartTurn, finished: GenerationFinished) -> GenerationFinished:
    """Return an ending as the caller is told of it: with the calls that are his to run."""
    own = {spec.name for spec in command.tools}
    calls = tuple(call for call in finished.tool_calls if call.name in own)
    if len(calls) == len(finished.tool_calls):
        return finished
    # A model that calls on though it was told to call no more has not come to its end.
    reason = finished.finish_reason if calls else "length"
    return finished.model_copy(update={"tool_calls": calls, "finish_reason": reason})


class ToolRounds:
    """Runs the calls of one round after the other."""

    def __init__(
        self, writers: TurnWriters, preparation: Preparation, calling: ToolCalling, *, max_rounds: int
    ) -> None:
        self._writers = writers
        self._preparation = preparation
        self._calling = calling
        self._max_rounds = max_rounds

    def takes(self, turn: RunningTurn, finished: GenerationFinished) -> bool:
        """Return whether a generation's end begins a round: its calls are Parley's, and a round is left."""
        return is_of_parley(turn.command, finished) and len(turn.rounds) < self._max_rounds

    async def run(self, turn: RunningTurn) -> PreparedJob:
        """Run what is left of the last round, and return the job that asks the model again."""
        prompt = await self._preparation.ready(turn)
        ref, tool_round = turn.command.turn, turn.rounds[-1]
        messages = self._preparation.messages(turn, prompt)
        calls = min(len(tool_round.calls), MAX_CALLS)
        share_chars = told_chars(
            prompt.model.context_tokens, messages, calls, sent_chars=file_chars(prompt.files)
        )
        async with self._writers.open(subjects.turn_events(ref.home, ref.turn_id), turn.epoch) as writer:
            await writer.append(partial(_opening, ref.client_turn_id, turn))
            await self._call_all(turn, writer, tool_round, prompt, share_chars)
            await writer.append_settled(partial(_generating, ref.client_turn_id), timeout_s=EVENT_STORED_S)
            turn.last_seq = writer.seq - 1
        return self._preparation.job(turn, prompt, is_last=len(turn.rounds) >= self._max_rounds)

    async def _call_all(
        self, turn: RunningTurn, writer: TurnWriter, tool_round: ToolRound, prompt: Prompt, share: int
    ) -> None:
        turn_id = turn.command.turn.client_turn_id
        for call in tool_round.calls:
            if call.id not in tool_round.called:
                await writer.append(partial(_called, turn_id, call))
                tool_round.called.add(call.id)
        slots = asyncio.Semaphore(CALLS_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, call in enumerate(tool_round.calls):
                    if call.id not in tool_round.results:
                        refusal = _TOO_MANY if number >= MAX_CALLS else None if share else _NO_ROOM
                        tasks.create_task(self._call(turn, writer, call, prompt, (slots, share, refusal)))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _call(
        self,
        turn: RunningTurn,
        writer: TurnWriter,
        call: ToolCall,
        prompt: Prompt,
        bounds: tuple[asyncio.Semaphore, int, str | None],
    ) -> None:
        slots, share, refusal = bounds
        if refusal is None:
            async with slots:
                called = await self._calling.run(turn.command, prompt.offered.get(call.name), call)
            text, is_error, took_ms = _cut(called.text, share), called.is_error, called.took_ms
        else:
            text, is_error, took_ms = refusal, True, 0.0

        def finished(seq: int) -> bytes:
            return encode_event(
                ToolFinished(
                    seq=seq,
                    turn_id=turn.command.turn.client_turn_id,
                    call_id=call.id,
                    name=call.name,
                    is_error=is_error,
                    text=text,
                    took_ms=took_ms,
                )
            )

        await writer.append(finished)
        turn.rounds[-1].results[call.id] = text


def _cut(text: str, chars: int) -> str:
    """Return what fits; the model is told what is missing."""
    if len(text) <= chars:
        return text
    kept = text[: max(0, chars - len(_CUT))]
    return kept + _CUT.format(left=len(text) - len(kept))


def _opening(turn_id: str, turn: RunningTurn, seq: int) -> bytes:
    started = EpochStarted(
        seq=seq,
        follows=turn.last_seq,
        turn_id=turn_id,
        keep_chars=len(turn.text),
        keep_reasoning_chars=ALL_CHARS,
    )
    return encode_event(started)


def _called(turn_id: str, call: ToolCall, seq: int) -> bytes:
    return encode_event(
        ToolCalled(seq=seq, turn_id=turn_id, call_id=call.id, name=call.name, arguments=call.arguments)
    )


def _generating(turn_id: str, seq: int) -> bytes:
    return encode_event(StageChanged(seq=seq, turn_id=turn_id, stage="generating"))
