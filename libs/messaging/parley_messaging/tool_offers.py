"""How a service offers tools to models: it tells which, whenever it is asked and when it comes up."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial

from parley_contracts import subjects
from parley_contracts.tool_calls import CallGivenUp, CallTool, ToolResult, ToolsOffered
from parley_contracts.tools import ToolSpec
from pydantic import ValidationError

from parley_messaging.bus import Bus, Delivery
from parley_messaging.error_boundary import described

RunTool = Callable[[CallTool], Awaitable[ToolResult]]

log = logging.getLogger("parley.messaging")

MOST_GIVEN_UP = 1000
"""Calls that are remembered as given up: they may still wait here for their turn."""

_GIVEN_UP = ToolResult(text="Nobody waits for this any longer.", is_error=True)


_Name = tuple[str, str, str]


def _name_of(call: CallTool | CallGivenUp) -> _Name:
    return call.turn_id, call.call_id, call.attempt


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
        self._running: dict[_Name, asyncio.Task[ToolResult]] = {}
        self._given_up = OrderedDict[_Name, None]()

    def add(
        self, subject: str, spec: ToolSpec, run: RunTool, *, concurrency: int = 8, waiting: int = 32
    ) -> None:
        """Offer a tool, whose calls come on `subject`; what `run` raises is told to the model as an error.

        `run` is cancelled when nobody waits for the call any longer: the turn was stopped, or is late.
        """
        self._specs.append(spec)
        answer, bounds = partial(self._run, run), {"concurrency": concurrency, "waiting": waiting}
        self._bus.answer(subject, CallTool, answer, group=self._user, **bounds)

    async def _run(self, run: RunTool, call: CallTool) -> ToolResult:
        name = _name_of(call)
        if name in self._given_up:
            return _GIVEN_UP
        running = asyncio.ensure_future(run(call))
        self._running[name] = running
        try:
            return await running
        except asyncio.CancelledError:
            if name in self._given_up and running.cancelled():
                return _GIVEN_UP
            raise
        finally:
            running.cancel()
            if self._running.get(name) is running:
                del self._running[name]

    async def _on_given_up(self, delivery: Delivery) -> None:
        try:
            told = CallGivenUp.model_validate_json(delivery.data)
        except ValidationError as error:
            log.warning("what was given up cannot be read", extra={"fault": described(error).message})
            return
        name = _name_of(told)
        self._given_up[name] = None
        if len(self._given_up) > MOST_GIVEN_UP:
            self._given_up.popitem(last=False)
        if name in self._running:
            self._running[name].cancel()

    async def start(self) -> None:
        """Begin to hear the question, and which calls are given up."""
        self._bus.on_reconnect(self._is_to_tell.set)
        await self._bus.subscribe(subjects.tool_given_up(self._user), self._on_given_up)
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
