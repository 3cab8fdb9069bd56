"""One answer in one epoch: how it begins, goes on and ends, whatever the model does."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob
from parley_contracts.prices import Prices
from parley_contracts.turn_events import (
    ContextReady,
    EpochStarted,
    StageChanged,
    TextDelta,
)
from parley_contracts.turns import CallTotals, TokenUsage
from parley_llm.catalogue import Catalogue
from parley_llm.language_model import Chunk
from parley_llm.model_prices import ModelPrices
from parley_messaging.turn_log import TurnLog

from tests.unit.llm.generation_desk import Scripted, until, writing


async def test_an_answer_is_written_from_its_opening_to_its_end() -> None:
    async with writing(Scripted()) as desk:
        await desk.write()
        opening, text, ended = await desk.told()
    assert (opening.seq, opening.follows, opening.keep_chars) == (3_000_000, 1_000_003, 0)
    assert text == ended.text == "one two three"
    assert (ended.finish_reason, ended.usage.completion_tokens, ended.degraded) == ("stop", 3, ())


@pytest.mark.parametrize(
    ("price", "cost_micros"),
    [('{"scripted": [1000000, 2000000]}', 11), ("{}", None)],
    ids=["priced", "unknown"],
)
async def test_an_answer_tells_what_it_cost_also_where_nobody_has_timed_its_call(
    price: str, cost_micros: int | None
) -> None:
    async with writing(Scripted()) as desk:
        desk.catalogue = Catalogue([Scripted()], prices=ModelPrices(Prices.parse(price)))
        await desk.write()
        _, _, ended = await desk.told()
    assert ended.calls == CallTotals(cost_micros=cost_micros)


@pytest.mark.parametrize("window_ms", [0, 5, 10_000])
async def test_deltas_and_the_whole_text_say_the_same(window_ms: float) -> None:
    async with writing(Scripted(pieces=tuple(f"{number} " for number in range(700)))) as desk:
        await desk.write(window_ms=window_ms)
        _, text, ended = await desk.told()
    assert text == ended.text == "".join(f"{number} " for number in range(700))


async def test_a_model_that_is_away_is_replaced_by_the_last_resort() -> None:
    away = Scripted(error=ParleyError(ErrorCode.UNAVAILABLE, "away"))
    last = Scripted(name="last", pieces=("a quote",))
    async with writing(away, last) as desk:
        await desk.write()
        _, text, ended = await desk.told()
    assert text == ended.text == "a quote"
    assert (ended.finish_reason, ended.degraded) == ("stop", ("model",))
    # It is counted and priced as who answered, not as who was asked.
    assert (ended.model, ended.usage.completion_tokens) == ("last", 3)


async def test_a_model_that_breaks_off_is_not_replaced_but_said_to_have_failed() -> None:
    broken = Scripted(error=ParleyError(ErrorCode.UNAVAILABLE, "gone"), fails_after=1)
    async with writing(broken, Scripted(name="last", pieces=("a quote",))) as desk:
        await desk.write()
        _, text, ended = await desk.told()
    assert text == ended.text == "one "
    assert (ended.finish_reason, ended.error_code) == ("error", ErrorCode.UNAVAILABLE)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            ParleyError(ErrorCode.UPSTREAM_FAILED, "The server said 500."),
            "upstream_failed",
            "The server said",
        ),
        (RuntimeError("password=hunter2"), "internal", "The model failed"),
    ],
)
async def test_a_failing_model_ends_the_answer_with_what_may_be_told(
    error: Exception, code: str, message: str
) -> None:
    async with writing(Scripted(error=error, fails_after=2)) as desk:
        await desk.write()
        _, text, ended = await desk.told()
    assert text == ended.text == "one two "
    assert (ended.finish_reason, ended.error_code) == ("error", code)
    assert (ended.error_message or "").startswith(message)


async def test_a_model_nobody_knows_ends_the_answer() -> None:
    async with writing(Scripted()) as desk:
        await desk.write("unheard-of")
        _, _, ended = await desk.told()
    assert (ended.finish_reason, ended.error_code) == ("error", ErrorCode.MODEL_NOT_FOUND)


async def test_past_the_deadline_the_model_is_aborted_and_what_it_wrote_is_kept() -> None:
    slow = Scripted(waits_after=2)
    async with writing(slow) as desk:
        await desk.write(left_s=0.1, window_ms=10_000)
        _, text, ended = await desk.told()
    assert slow.was_aborted
    assert text == ended.text == "one two "
    assert (ended.finish_reason, ended.error_code) == ("error", ErrorCode.TIMEOUT)


async def test_an_answer_whose_runner_wrote_nothing_begins_with_its_context() -> None:
    async with writing(Scripted()) as desk:
        await desk.write(last_seq=0)
        opening, context, stage, *_ = await desk.events()
        assert opening == EpochStarted(seq=3_000_000, follows=0, turn_id="c1", keep_chars=0)
        assert context == ContextReady(seq=3_000_001, turn_id="c1")
        assert stage == StageChanged(seq=3_000_002, turn_id="c1", stage="generating")


async def test_a_model_is_asked_before_the_log_is_opened_and_writes_behind_the_opening() -> None:
    stored_at_call: list[int] = []

    class Asked(Scripted):
        async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
            stored_at_call.append(len(await desk.events()))
            async for chunk in super().generate(job, written=written):
                yield chunk

    async with writing(Asked()) as desk:
        await desk.write(last_seq=0)
        events = await desk.events()
    assert stored_at_call == [0]
    assert [type(event) for event in events[:4]] == [EpochStarted, ContextReady, StageChanged, TextDelta]


async def test_a_context_that_an_earlier_worker_wrote_is_not_written_again() -> None:
    context = ContextReady(seq=2_000_001, turn_id="c1")
    standing = TurnLog(last_seq=2_000_003, parts=["one "], context=context)
    async with writing(Scripted()) as desk:
        await desk.write(last_seq=0, standing=standing)
        _, text, _ = await desk.told()
        assert text.startswith("two ")


async def test_a_stop_before_the_start_asks_no_model() -> None:
    model = Scripted()
    async with writing(model) as desk:
        await desk.write(is_cancelled=True)
        _, text, ended = await desk.told()
    assert (text, ended.text, ended.finish_reason, model.written) == ("", "", "cancelled", [])
    assert ended.usage == TokenUsage()


async def test_a_stop_aborts_the_model_and_keeps_what_it_wrote() -> None:
    model = Scripted(waits_after=2)
    async with writing(model) as desk:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.write(window_ms=10_000))
            await until(lambda: bool(model.written))
            await desk.bus.store(subjects.turn_cancel(desk.turn.turn_id), b"stop")
        _, text, ended = await desk.told()
    assert model.was_aborted
    assert text == ended.text
    assert ended.finish_reason == "cancelled"


async def test_an_answer_that_was_begun_goes_on_after_what_is_written() -> None:
    model = Scripted()
    standing = TurnLog(last_seq=2_000_002, parts=["one ", "two "])
    async with writing(model) as desk:
        await desk.write(standing=standing)
        opening, text, ended = await desk.told()
    assert model.written == ["one two "]
    assert (opening.follows, opening.keep_chars) == (2_000_002, len("one two "))
    assert (text, ended.text) == ("three", "one two three")


async def test_a_model_that_cannot_go_on_begins_anew_and_viewers_are_told() -> None:
    model = Scripted(can_continue=False)
    standing = TurnLog(last_seq=2_000_002, parts=["one ", "two "])
    async with writing(model) as desk:
        await desk.write(standing=standing)
        opening, text, ended = await desk.told()
    assert model.written == [""]
    assert (opening.follows, opening.keep_chars) == (2_000_002, 0)
    assert text == ended.text == "one two three"


async def test_an_answer_that_several_workers_died_of_is_given_up() -> None:
    model = Scripted()
    async with writing(model) as desk:
        await desk.write(standing=TurnLog(last_seq=9_000_002, parts=["one "]), is_given_up=True)
        opening, text, ended = await desk.told()
    assert model.written == []
    assert (opening.keep_chars, text, ended.text) == (len("one "), "", "one ")
    assert (ended.finish_reason, ended.error_code) == ("error", ErrorCode.INTERNAL)
