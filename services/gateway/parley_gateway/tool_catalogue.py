"""Which tools there are: asked of everybody at most every few seconds, and remembered."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass

from parley_contracts import subjects
from parley_contracts.bus_rights import TOOLS_PREFIX
from parley_contracts.service_requests import OUR_TOOLS
from parley_contracts.tool_calls import NAME_MARK, DescribeTools, ToolsOffered
from parley_contracts.tools import ToolSpec
from parley_messaging import Bus
from parley_messaging.bus import Delivery
from pydantic import ValidationError

log = logging.getLogger("parley.gateway")

ASK_EVERY_S = 3.0
ANSWER_S = 0.3
"""How long a turn waits for a tool that it names and that nobody offers yet."""
SILENCE_S = 1.0
"""Who has not answered a question in this time offers nothing any more."""
MAX_USERS = 256
MAX_OFFER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool that may be called.

    Attributes:
        user: Who offers it, as the bus knows him.
        spec: As models are told of it; the name is unique.
        own_name: What whoever offers it calls it.
        subject: Where it is called.
        is_ours: Whether a service of ours answers, and so may be told whose documents are lent.
    """

    user: str
    spec: ToolSpec
    own_name: str
    subject: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class _Offer:
    tools: tuple[OfferedTool, ...]
    heard_s: float


class ToolCatalogue:
    """Remembers who offers what. Each user of the bus speaks for itself, by the subject it publishes on.

    A name belongs to one user: those of our services stand in their rights, all others begin with the name
    of the service that offers them. So nobody can take another's name, and none has to be refused for it.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._offers: dict[str, _Offer] = {}
        self._asked_s = float("-inf")
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Begin to hear offers."""
        await self._bus.subscribe(subjects.ALL_TOOL_OFFERS, self._on_offer)

    async def named(self, names: Collection[str]) -> dict[str, OfferedTool]:
        """Return those of the named tools that are offered now."""
        if not names:
            return {}
        await self._refresh()
        found = self._found(names)
        until_s = self._asked_s + ANSWER_S
        while len(found) < len(set(names)) and _now_s() < until_s:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until_s):
                    await self._changed.wait()
            except TimeoutError:
                break
            found = self._found(names)
        return found

    async def _refresh(self) -> None:
        """Ask, unless that was done just now; forget who was silent when he was asked last."""
        now_s = _now_s()
        if now_s - self._asked_s < ASK_EVERY_S:
            return
        silent = [user for user, offer in self._offers.items() if offer.heard_s < self._asked_s]
        for user in silent if now_s - self._asked_s > SILENCE_S else ():
            del self._offers[user]
        self._asked_s = now_s
        await self._bus.publish(subjects.TOOL_DESCRIBE, DescribeTools().model_dump_json().encode())

    def _found(self, names: Collection[str]) -> dict[str, OfferedTool]:
        wanted = set(names)
        return {
            tool.spec.name: tool
            for offer in self._offers.values()
            for tool in offer.tools
            if tool.spec.name in wanted
        }

    async def _on_offer(self, delivery: Delivery) -> None:
        user = subjects.parse_tool_offered(delivery.subject)
        if len(delivery.data) > MAX_OFFER_BYTES or (
            user not in self._offers and len(self._offers) >= MAX_USERS
        ):
            log.error("an offer of tools is too large, or one too many", extra={"user": user})
            return
        try:
            offered = ToolsOffered.model_validate_json(delivery.data)
        except ValidationError:
            log.error("an offer of tools cannot be read", extra={"user": user})
            return
        tools = tuple(tool for spec in offered.tools if (tool := _tool_of(user, spec)) is not None)
        if len(tools) < len(offered.tools):
            log.error("tools are left out whose names are not theirs to offer", extra={"user": user})
        self._offers[user] = _Offer(tools, _now_s())
        self._changed.set()


def _tool_of(user: str, spec: ToolSpec) -> OfferedTool | None:
    """Return a tool as it is called; None for one that this user cannot offer."""
    if user in OUR_TOOLS:
        found = [subject for subject in OUR_TOOLS[user] if subject.rpartition(".")[2] == spec.name]
        return OfferedTool(user, spec, spec.name, found[0], is_ours=True) if found else None
    if not user.startswith(TOOLS_PREFIX):
        return None
    offerer = user.removeprefix(TOOLS_PREFIX)
    try:
        named = ToolSpec.model_validate({**spec.model_dump(), "name": f"{offerer}{NAME_MARK}{spec.name}"})
    except ValidationError:
        return None
    subject = subjects.outside_tool_call(offerer, spec.name)
    return OfferedTool(user, named, spec.name, subject, is_ours=False)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
