"""Tools for turns of the rig: offered as services do, scripted, and counted."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from parley_contracts import subjects
from parley_contracts.tool_calls import CallTool, ToolResult
from parley_contracts.tools import ToolSpec
from parley_contracts.turns import TokenUsage
from parley_llm.language_model import Chunk, FinalChunk, TextChunk, ToolCallChunk
from parley_messaging.bus import Bus
from parley_messaging.tool_offers import ToolOffers

SPENT = TokenUsage(prompt_tokens=5, completion_tokens=2)
Run = Callable[[CallTool], Awaitable[ToolResult]]


def calling(*calls: tuple[str, str], text: str = "") -> list[Chunk]:
    """Return what a model writes that ends by calling tools, each by a name and arguments in two pieces."""
    said: list[Chunk] = [TextChunk(text)] if text else []
    pieces: list[Chunk] = []
    for index, (name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        pieces.append(ToolCallChunk(index, f"call-{name}-{index}", name, arguments[:half]))
        pieces.append(ToolCallChunk(index, None, None, arguments[half:]))
    return [*said, *pieces, FinalChunk(SPENT, "tool_calls")]


def saying(text: str) -> list[Chunk]:
    """Return what a model writes that ends with an answer."""
    return [TextChunk(text), FinalChunk(SPENT, "stop")]


@dataclass
class Shop:
    """Another team's service with two tools, `shop__price` and `shop__stock`."""

    calls: list[CallTool] = field(default_factory=list[CallTool])
    run: Run | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0

    async def answer(self, call: CallTool) -> ToolResult:
        self.calls.append(call)
        self.changed.set()
        try:
            if self.run is not None:
                return await self.run(call)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return ToolResult(text=f"{call.name} of {call.arguments} is 7")

    async def called(self, times: int) -> None:
        """Wait until it was called so often."""
        async with asyncio.timeout(10):
            while len(self.calls) < times:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def offering(bus: Bus, shop: Shop, user: str = "tools-shop") -> AsyncGenerator[ToolOffers]:
    """Offer the shop's tools while the body runs."""
    offers = ToolOffers(bus, user)
    for name in ("price", "stock"):
        subject = subjects.outside_tool_call("shop", name)
        offers.add(subject, ToolSpec(name=name, description=f"The {name}."), shop.answer)
    await offers.start()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(offers.run())
        yield offers
        running.cancel()
