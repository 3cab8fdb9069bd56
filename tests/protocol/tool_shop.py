"""A service that offers tools to models, and notes what was called again though its end was known."""

import asyncio
import json
from dataclasses import dataclass, field

from parley_contracts import subjects
from parley_contracts.tool_calls import CallTool, ToolResult
from parley_contracts.tools import ToolSpec
from parley_messaging.bus import Bus
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.tool_offers import ToolOffers

from tests.protocol.turn_record import frames, standing

NAMES = ("price", "stock")
TOOLS = tuple(f"shop__{name}" for name in NAMES)
TAKES_S = 0.3


@dataclass
class ToolShop:
    """Counts calls; what it says is the same for the same call."""

    bus: MemoryBus
    calls: list[str] = field(default_factory=list[str])
    repeated: list[str] = field(default_factory=list[str])

    async def answer(self, call: CallTool) -> ToolResult:
        self.calls.append(call.call_id)
        if call.call_id in ended_calls(self.bus, call.turn_id):
            self.repeated.append(f"{call.call_id} is called again, and its end stands in the log")
        await asyncio.sleep(TAKES_S if call.name == "price" else 2 * TAKES_S)
        return ToolResult(text=f"{call.name} is 7")

    async def offer(self, bus: Bus) -> ToolOffers:
        offers = ToolOffers(bus, "tools-shop")
        for name in NAMES:
            offers.add(subjects.outside_tool_call("shop", name), ToolSpec(name=name), self.answer)
        await offers.start()
        return offers


def ended_calls(bus: MemoryBus, turn_id: str) -> set[str]:
    """Return the calls of a turn whose end every reader of its log reads."""
    return {
        event["call_id"]
        for event in standing([json.loads(frame) for _, frame in frames(bus, turn_id)])
        if event["type"] == "tool_finished"
    }
