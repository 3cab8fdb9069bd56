"""What a hostile reader found of stops: docs/tools.md says that one ends the calls of tools at once."""

import asyncio

from parley_contracts import subjects
from parley_contracts.tool_calls import CallTool, ToolResult
from parley_messaging.bus import Bus
from parley_messaging.message_headers import now_ms


async def test_who_runs_a_tool_is_told_when_nobody_waits_any_longer(bus: Bus) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(_: CallTool) -> ToolResult:
        begun.set()
        try:
            await asyncio.sleep(20)
        finally:
            ended.set()
        return ToolResult(text="posted")

    bus.answer(subjects.TOOL_CALCULATE, CallTool, hang, group="llm")
    await bus.start()
    call = CallTool(
        owner_id="o",
        turn_id="t",
        call_id="c",
        name="calculate",
        arguments="{}",
        deadline_ms=now_ms() + 30_000,
    )
    asking = asyncio.create_task(bus.request(subjects.TOOL_CALCULATE, call, ToolResult, timeout_s=15))
    async with asyncio.timeout(5):
        await begun.wait()
    # As a stop of the turn does.
    asking.cancel()
    await asyncio.wait((asking,))
    async with asyncio.timeout(3):
        await ended.wait()
