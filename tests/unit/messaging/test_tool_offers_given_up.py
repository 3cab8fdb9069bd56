"""Calls of tools that nobody waits for any longer end where they run."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from parley_contracts import subjects
from parley_contracts.tool_calls import CallGivenUp, CallTool, ToolResult
from parley_contracts.tools import ToolSpec
from parley_messaging.bus import Bus
from parley_messaging.message_headers import now_ms
from parley_messaging.tool_offers import ToolOffers

WAIT_S = 5.0


class Hanging:
    """A tool that begins, and ends when it is let or cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.cancelled = asyncio.Semaphore(0)
        self.may_end = asyncio.Event()
        self.calls = 0

    async def __call__(self, _: CallTool) -> ToolResult:
        self.calls += 1
        self.begun.release()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return ToolResult(text="done")


def call_of(call_id: str = "c", *, attempt: str = "first") -> CallTool:
    return CallTool(
        owner_id="o",
        turn_id="t",
        call_id=call_id,
        name="hang",
        arguments="{}",
        attempt=attempt,
        deadline_ms=now_ms() + 30_000,
    )


@asynccontextmanager
async def offering(bus: Bus, tool: Hanging, *, concurrency: int = 8) -> AsyncGenerator[None]:
    offers = ToolOffers(bus, "llm")
    offers.add(subjects.TOOL_CALCULATE, ToolSpec(name="hang"), tool, concurrency=concurrency)
    await offers.start()
    await bus.start()
    async with asyncio.timeout(WAIT_S):
        yield
    tool.may_end.set()


def asked(bus: Bus, call: CallTool) -> asyncio.Task[ToolResult]:
    return asyncio.create_task(bus.request(subjects.TOOL_CALCULATE, call, ToolResult, timeout_s=WAIT_S))


async def give_up(bus: Bus, call: CallTool) -> None:
    told = CallGivenUp(turn_id=call.turn_id, call_id=call.call_id, attempt=call.attempt)
    await bus.publish(subjects.tool_given_up("llm"), told.model_dump_json().encode())


async def test_a_call_that_is_given_up_ends_and_others_go_on(bus: Bus) -> None:
    tool, first, other = Hanging(), call_of("c1"), call_of("c2")
    async with offering(bus, tool):
        answers = [asked(bus, first), asked(bus, other)]
        for _ in answers:
            await tool.begun.acquire()
        await give_up(bus, first)
        await tool.cancelled.acquire()
        assert (await answers[0]).is_error
        tool.may_end.set()
        assert (await answers[1]).text == "done"


async def test_one_that_waits_for_its_turn_is_not_begun_any_more(bus: Bus) -> None:
    tool, first, waiting = Hanging(), call_of("c1"), call_of("c2")
    async with offering(bus, tool, concurrency=1):
        answers = [asked(bus, first)]
        await tool.begun.acquire()
        answers.append(asked(bus, waiting))
        await give_up(bus, waiting)
        # Told in order: what comes behind it has been heard after it.
        await give_up(bus, first)
        await tool.cancelled.acquire()
        assert [(await answer).is_error for answer in answers] == [True, True]
    assert tool.calls == 1


async def test_the_same_call_by_who_took_over_is_another_one(bus: Bus) -> None:
    tool, first, again = Hanging(), call_of(), call_of(attempt="again")
    async with offering(bus, tool):
        gone = asked(bus, first)
        await tool.begun.acquire()
        await give_up(bus, first)
        await tool.cancelled.acquire()
        answer = asked(bus, again)
        await tool.begun.acquire()
        tool.may_end.set()
        assert (await answer).text == "done"
        assert (await gone).is_error


async def test_what_cannot_be_read_is_passed_over(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    tool, call = Hanging(), call_of()
    async with offering(bus, tool):
        answer = asked(bus, call)
        await tool.begun.acquire()
        await bus.publish(subjects.tool_given_up("llm"), b'{"turn_id": "a secret"')
        await give_up(bus, call)
        assert (await answer).is_error
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "secret" not in str([vars(record) for record in caplog.records])
