"""What a model writes beside the text, in one epoch: thoughts, calls of tools, the likelihood of tokens."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob
from parley_contracts.response_format import ResponseFormat
from parley_contracts.tools import ToolCall
from parley_contracts.turn_events import (
    EpochStarted,
    GenerationFinished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from parley_contracts.turns import GenerationParams, TokenUsage
from parley_llm.backends.extractive import ExtractiveModel
from parley_llm.generation import Generation
from parley_llm.language_model import (
    Chunk,
    FinalChunk,
    FinishReason,
    Logprobs,
    Piece,
    ReasoningChunk,
    TextChunk,
    ToolCallChunk,
)
from parley_messaging.message_headers import now_ms
from parley_messaging.turn_log import LoggedRound, TurnLog

from tests.unit.llm.generation_desk import Desk, Scripted, writing
from tests.unit.llm.jobs import job_for

ADD, SUB = ToolCall(id="a", name="add", arguments='{"x":1}'), ToolCall(id="b", name="sub", arguments="{}")
CALLS: tuple[Piece, ...] = (
    ToolCallChunk(0, "a", "add", ""),
    ToolCallChunk(0, None, None, '{"x"'),
    ToolCallChunk(0, None, None, ":1}"),
    ToolCallChunk(1, "b", "sub", "{}"),
)
EVERYTHING: tuple[Piece, ...] = (
    ReasoningChunk("I think. "),
    ReasoningChunk("So I am."),
    TextChunk("Let me "),
    TextChunk("see."),
    *CALLS,
)


@dataclass
class Mixed(Scripted):
    """A model that writes pieces of any kind, then ends or fails."""

    mixed: tuple[Piece, ...] = EVERYTHING
    finish_reason: FinishReason = "tool_calls"

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        self.written.append(written)
        for piece in self.mixed:
            yield piece
        if self.error:
            raise self.error
        yield FinalChunk(self.usage, self.finish_reason)


def said(event: object) -> tuple[object, ...]:
    """Return a delta without its place in the log."""
    match event:
        case TextDelta():
            return ("text", event.text)
        case ReasoningDelta():
            return ("thought", event.text)
        case ToolCallDelta():
            return ("call", event.index, event.call_id, event.name, event.arguments)
        case _:
            return (type(event),)


async def ended(desk: Desk) -> GenerationFinished:
    *_, last = await desk.events()
    assert isinstance(last, GenerationFinished)
    return last


async def test_each_kind_is_an_event_of_its_own_in_the_order_that_it_was_written() -> None:
    async with writing(Mixed()) as desk:
        await desk.write(window_ms=0)
        _, *deltas, last = await desk.events()
    assert [said(event) for event in deltas] == [
        ("thought", "I think. "),
        ("thought", "So I am."),
        ("text", "Let me "),
        ("text", "see."),
        ("call", 0, "a", "add", ""),
        ("call", 0, None, None, '{"x"'),
        ("call", 0, None, None, ":1}"),
        ("call", 1, "b", "sub", "{}"),
    ]
    assert isinstance(last, GenerationFinished)
    assert (last.text, last.tool_calls, last.finish_reason) == ("Let me see.", (ADD, SUB), "tool_calls")


async def test_within_a_window_only_what_is_of_one_kind_travels_together() -> None:
    async with writing(Mixed()) as desk:
        await desk.write(window_ms=10_000)
        _, *deltas, last = await desk.events()
    assert [said(event) for event in deltas] == [
        ("thought", "I think. "),
        ("thought", "So I am."),
        ("text", "Let me see."),
        ("call", 0, "a", "add", ""),
        ("call", 0, None, None, '{"x":1}'),
        ("call", 1, "b", "sub", "{}"),
    ]
    assert isinstance(last, GenerationFinished)
    assert last.tool_calls == (ADD, SUB)


async def test_the_likelihood_of_tokens_stands_beside_their_text() -> None:
    entries: Logprobs = ({"token": "So", "logprob": -0.5, "bytes": None, "top_logprobs": []},)
    async with writing(Mixed(mixed=(TextChunk("So", entries), TextChunk(" it is.")))) as desk:
        await desk.write(window_ms=10_000)
        _, first, second, last = await desk.events()
    assert isinstance(first, TextDelta)
    assert isinstance(second, TextDelta)
    assert (first.text, first.logprobs, second.logprobs) == ("So", entries, None)
    assert isinstance(last, GenerationFinished)
    assert last.text == "So it is."


@pytest.mark.parametrize("mixed", [CALLS[:2], (ReasoningChunk("I think. "),)], ids=["a call", "a thought"])
async def test_a_model_that_has_begun_in_any_way_is_not_replaced(mixed: tuple[Piece, ...]) -> None:
    gone = Mixed(mixed=mixed, error=ParleyError(ErrorCode.UNAVAILABLE, "gone"))
    async with writing(gone, Scripted(name="last", pieces=("a quote",))) as desk:
        await desk.write()
        last = await ended(desk)
    assert (last.finish_reason, last.error_code, last.text) == ("error", ErrorCode.UNAVAILABLE, "")
    assert last.tool_calls == ()


async def test_half_a_call_is_begun_anew_by_the_next_worker_and_no_viewer_keeps_it() -> None:
    standing = TurnLog(last_seq=2_000_007, parts=["Let me see."], reasoning_chars=9)
    async with writing(Mixed(mixed=CALLS, can_continue=True)) as desk:
        await desk.write(standing=standing)
        opening, *_, last = await desk.events()
    assert isinstance(opening, EpochStarted)
    assert (opening.keep_chars, opening.keep_reasoning_chars, opening.keep_tool_calls) == (11, 9, 0)
    assert isinstance(last, GenerationFinished)
    assert (last.text, last.tool_calls) == ("Let me see.", (ADD, SUB))


async def test_what_was_thought_goes_with_the_answer_that_is_begun_anew() -> None:
    standing = TurnLog(last_seq=2_000_007, parts=["Let me see."], reasoning_chars=9)
    async with writing(Mixed(can_continue=False)) as desk:
        await desk.write(standing=standing)
        opening, *_ = await desk.events()
    assert isinstance(opening, EpochStarted)
    assert (opening.keep_chars, opening.keep_reasoning_chars) == (0, 0)


@pytest.mark.parametrize("can_continue", [True, False], ids=["goes on", "begins anew"])
async def test_who_takes_over_a_later_round_keeps_and_counts_nothing_of_the_earlier_ones_again(
    *, can_continue: bool
) -> None:
    earlier = GenerationFinished(
        seq=2_000_003,
        turn_id="c1",
        text="Well. ",
        model="scripted",
        usage=TokenUsage(),
        finish_reason="tool_calls",
    )
    rounds = [LoggedRound(earlier, reasoning_chars=400)]
    standing = TurnLog(
        last_seq=4_000_003, parts=["Well. ", "x" * 40], reasoning_chars=400 + 80, rounds=rounds
    )
    model = Mixed(mixed=(TextChunk("Done."),), can_continue=can_continue)
    async with writing(model) as desk:
        later = {"rounds": 1, "kept_text": "Well. ", "deadline_ms": now_ms() + 60_000, "turn": desk.turn}
        job = job_for("scripted").model_copy(update=later)
        generation = Generation(desk.bus, job, desk.catalogue, desk.stops, window_ms=0)
        with desk.stops.following(desk.turn.turn_id):
            async with desk.writers.open(desk.subject, 5) as writer:
                await generation.write(writer, standing, is_cancelled=False)
        opening, *_, last = await desk.events()
    assert isinstance(opening, EpochStarted)
    kept = (opening.keep_chars, opening.keep_reasoning_chars)
    assert kept == ((6 + 40, 480) if can_continue else (6, 400))
    assert isinstance(last, GenerationFinished)
    assert last.text.startswith("Well. ")
    gone = TokenUsage.guessed(0, 40 + 80).completion_tokens
    assert last.usage.completion_tokens == model.usage.completion_tokens + gone


async def test_a_finished_answer_that_is_repeated_keeps_its_calls() -> None:
    finished = GenerationFinished(
        seq=2_000_009,
        turn_id="c1",
        text="Let me see.",
        model="scripted",
        usage=TokenUsage(),
        finish_reason="tool_calls",
        tool_calls=(ADD, SUB),
    )
    standing = TurnLog(last_seq=2_000_009, parts=["Let me see."], reasoning_chars=9, finished=finished)
    async with writing(Mixed()) as desk:
        job = job_for("scripted").model_copy(update={"turn": desk.turn, "deadline_ms": now_ms() + 60_000})
        generation = Generation(desk.bus, job, desk.catalogue, desk.stops, window_ms=0)
        async with desk.writers.open(desk.subject, 3) as writer:
            await generation.repeat_end(writer, standing, finished)
        opening, last = await desk.events()
    assert isinstance(opening, EpochStarted)
    kept = (opening.seq, opening.follows, opening.keep_chars, opening.keep_reasoning_chars)
    assert (*kept, opening.keep_tool_calls) == (3_000_000, 2_000_009, 11, 9, 2)
    assert last == finished.model_copy(update={"seq": 3_000_001})


async def test_thoughts_and_calls_that_nobody_counted_are_guessed_too() -> None:
    mixed = (ReasoningChunk("x" * 400), ToolCallChunk(0, "a", "add", "y" * 400))
    async with writing(Mixed(mixed=mixed, usage=TokenUsage())) as desk:
        await desk.write()
        last = await ended(desk)
    assert last.usage.completion_tokens == TokenUsage.guessed(0, 800).completion_tokens


async def test_nobody_quotes_where_json_is_to_be_written() -> None:
    params = GenerationParams(response_format=ResponseFormat(type="json_object"))
    away = Scripted(error=ParleyError(ErrorCode.UNAVAILABLE, "away"))
    async with writing(away, Scripted(name="last", pieces=("a quote",))) as desk:
        deadline_ms = now_ms() + 60_000
        update = {"turn": desk.turn, "deadline_ms": deadline_ms, "last_seq": 1_000_003, "params": params}
        job = job_for("scripted").model_copy(update=update)
        generation = Generation(desk.bus, job, desk.catalogue, desk.stops, window_ms=0)
        with desk.stops.following(desk.turn.turn_id):
            async with desk.writers.open(desk.subject, 3) as writer:
                await generation.write(writer, TurnLog(last_seq=1_000_003), is_cancelled=False)
        last = await ended(desk)
    assert (last.finish_reason, last.error_code, last.text) == ("error", ErrorCode.UNAVAILABLE, "")
    with pytest.raises(ParleyError) as caught:
        async for _ in ExtractiveModel().generate(job):
            pass
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_REQUEST, "response_format")
