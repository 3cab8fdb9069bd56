"""What an answer costs, however it ends."""

import asyncio

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.turns import TokenUsage
from parley_messaging.turn_log import TurnLog

from tests.unit.llm.generation_desk import Scripted, until, writing
from tests.unit.llm.jobs import job_for

PROMPT_TOKENS = TokenUsage.guessed(sum(len(one.content) for one in job_for("m").messages), 0).prompt_tokens


async def test_a_stop_just_before_the_end_costs_the_prompt_and_what_was_written() -> None:
    model = Scripted(pieces=("x" * 4000, "y" * 4000, "z"), waits_after=2)
    async with writing(model) as desk:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.write(window_ms=10_000))
            await until(lambda: model.has_waited)
            await desk.bus.store(subjects.turn_cancel(desk.turn.turn_id), b"stop")
        _, _, ended = await desk.told()
    assert ended.finish_reason == "cancelled"
    assert ended.usage == TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=2000)


async def test_a_stop_before_the_first_word_costs_the_prompt_that_the_model_has_read() -> None:
    model = Scripted(waits_after=0)
    async with writing(model) as desk:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.write())
            await until(lambda: model.has_waited)
            await desk.bus.store(subjects.turn_cancel(desk.turn.turn_id), b"stop")
        _, _, ended = await desk.told()
    assert (ended.finish_reason, ended.usage) == ("cancelled", TokenUsage(prompt_tokens=PROMPT_TOKENS))


@pytest.mark.parametrize(
    ("code", "fails_after", "usage"),
    [
        (ErrorCode.UPSTREAM_FAILED, 2, TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=2)),
        (ErrorCode.TIMEOUT, 0, TokenUsage(prompt_tokens=PROMPT_TOKENS)),
        (ErrorCode.UPSTREAM_FAILED, 0, TokenUsage()),
        (ErrorCode.UNAVAILABLE, 0, TokenUsage()),
    ],
    ids=["broken off", "silent", "refused", "away"],
)
async def test_a_model_that_fails_costs_what_it_has_done_and_nothing_when_it_refused(
    code: ErrorCode, fails_after: int, usage: TokenUsage
) -> None:
    async with writing(Scripted(error=ParleyError(code, "no"), fails_after=fails_after)) as desk:
        await desk.write()
        _, _, ended = await desk.told()
    assert (ended.finish_reason, ended.usage) == ("error", usage)


async def test_past_the_deadline_an_answer_costs_what_was_written() -> None:
    async with writing(Scripted(waits_after=2)) as desk:
        await desk.write(left_s=0.1)
        _, _, ended = await desk.told()
    assert ended.usage == TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=2)


@pytest.mark.parametrize("can_continue", [True, False], ids=["goes on", "begins anew"])
async def test_what_workers_wrote_that_are_gone_is_counted_when_the_answer_ends_early(
    *, can_continue: bool
) -> None:
    model, standing = Scripted(can_continue=can_continue), TurnLog(last_seq=2_000_002, parts=["x" * 400])
    async with writing(model) as desk:
        await desk.write(standing=standing, is_cancelled=True)
        _, _, ended = await desk.told()
    assert ended.usage == TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=100)


@pytest.mark.parametrize("can_continue", [True, False], ids=["goes on", "begins anew"])
async def test_what_a_worker_wrote_that_is_gone_is_counted_beside_what_the_model_tells(
    *, can_continue: bool
) -> None:
    model, standing = Scripted(can_continue=can_continue), TurnLog(last_seq=2_000_002, parts=["x" * 400])
    async with writing(model) as desk:
        await desk.write(standing=standing)
        _, _, ended = await desk.told()
    assert ended.finish_reason == "stop"
    gone = TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=100)
    assert ended.usage == model.usage + gone


async def test_a_server_that_tells_no_usage_does_not_answer_for_nothing() -> None:
    async with writing(Scripted(usage=TokenUsage())) as desk:
        await desk.write()
        _, _, ended = await desk.told()
    assert (ended.finish_reason, ended.usage.prompt_tokens) == ("stop", PROMPT_TOKENS)
    assert ended.usage.completion_tokens == TokenUsage.guessed(0, len("one two three")).completion_tokens
