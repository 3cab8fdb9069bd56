"""How a service offers tools to models: it tells which, whenever it is asked and when it comes up."""

import asyncio
from collections.abc import Awaitable, Callable

from parley_contracts import subjects
from parley_contracts.tool_calls import CallTool, ToolResult, ToolsOffered
from parley_contracts.tools import ToolSpec

from parley_messaging.bus import Bus, Delivery

RunTool = Callable[[CallTool], Awaitable[ToolResult]]


class ToolOffers:
    """The tools of one user of the bus.

    They are told on a subject of that user's own: a reply would not say who it is from, and whoever hears
    the question could describe another's tools.
    """

    def __init__(self, bus: Bus, user: str) -> None:
        self._bus = bus
        self._user = user
        self._subject = subjects.tool_offered(user)
        self._specs: list[ToolSpec] = []
        self._is_to_tell = asyncio.Event()

    def add(
        self, subject: str, spec: ToolSpec, run: RunTool, *, concurrency: int = 8, waiting: int = 32
    ) -> None:
        """Offer a tool, whose calls come on `subject`; what `run` raises is told to the model as an error."""
        self._specs.append(spec)
        self._bus.answer(subject, CallTool, run, group=self._user, concurrency=concurrency, waiting=waiting)

    async def start(self) -> None:
        """Begin to hear the question."""
        self._bus.on_reconnect(self._is_to_tell.set)
        await self._bus.subscribe(subjects.TOOL_DESCRIBE, self._on_question, group=self._user)
        self._is_to_tell.set()

    async def run(self) -> None:
        """Tell the tools at the start and after each return of the bus, until cancelled."""
        while True:
            await self._is_to_tell.wait()
            self._is_to_tell.clear()
            await self._tell()

    async def _on_question(self, _: Delivery) -> None:
        await self._tell()

    async def _tell(self) -> None:
        offer = ToolsOffered(tools=tuple(self._specs))
        await self._bus.publish(self._subject, offer.model_dump_json().encode())
