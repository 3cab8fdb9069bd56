"""Has one tool called, and puts whatever comes of it into words for the model."""

import asyncio
import json
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from uuid import uuid4

from parley_contracts import subjects
from parley_contracts.claims import Acting, PrincipalKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role
from parley_contracts.subject_policy import SUBJECTS
from parley_contracts.tool_calls import MAX_ARGUMENTS_CHARS, CallGivenUp, CallTool, ToolResult
from parley_contracts.tools import ToolCall
from parley_contracts.turns import StartTurn
from parley_messaging import Bus
from parley_messaging.acting import acting_for

from parley_gateway.tool_catalogue import OfferedTool

_OF_DOCUMENTS = (subjects.TOOL_SEARCH_KNOWLEDGE, subjects.TOOL_READ_FILE, subjects.TOOL_ANALYSE_TABLE)
_AWAY = "The tool is away; go on without it."
_LATE = "The tool took longer than allowed."


@dataclass(frozen=True, slots=True)
class Called:
    """What came of a call: what the model is told, and how long it took."""

    text: str
    is_error: bool
    took_ms: float


class ToolCalling:
    """Calls tools on the bus, each within a time limit. Whatever goes wrong is an answer, never raised."""

    def __init__(self, bus: Bus, *, call_s: float) -> None:
        self._bus = bus
        self._call_s = call_s

    async def run(self, command: StartTurn, tool: OfferedTool | None, call: ToolCall) -> Called:
        """Return what a call comes to; no tool stands for one that was not named, or that nobody offers."""
        began_s = time.monotonic()
        result = await self._result(command, tool, call)
        return Called(result.text, result.is_error, round((time.monotonic() - began_s) * 1000, 1))

    async def _result(self, command: StartTurn, tool: OfferedTool | None, call: ToolCall) -> ToolResult:
        if tool is None:
            return _failed(f"There is no tool {call.name[:64]!r}.")
        if (fault := fault_of(call.arguments)) is not None:
            return _failed(fault)
        left_s = min(self._call_s, command.deadline_ms / 1000 - time.time())
        if left_s <= 0:
            return _failed(_LATE)
        request = _request(command, tool, call, left_s)
        try:
            with _lending(command, tool):
                return await self._bus.request(tool.subject, request, ToolResult, timeout_s=left_s)
        except asyncio.CancelledError:
            await self._give_up(tool, request)
            raise
        except ParleyError as error:
            if error.code is ErrorCode.TIMEOUT:
                await self._give_up(tool, request)
            return _failed(_told(error))

    async def _give_up(self, tool: OfferedTool, call: CallTool) -> None:
        """Tell whoever runs a call that nobody waits for it; where that gets lost, its deadline ends it."""
        told = CallGivenUp(turn_id=call.turn_id, call_id=call.call_id, attempt=call.attempt)
        with suppress(ParleyError):
            await self._bus.publish(subjects.tool_given_up(tool.user), told.model_dump_json().encode())


def _request(command: StartTurn, tool: OfferedTool, call: ToolCall, left_s: float) -> CallTool:
    is_lent = tool.is_ours and command.bot is not None
    # A bot searches what it names; who asks for himself may narrow it, and an empty list searches nothing
    # beforehand but says nothing of what a tool may look at.
    named = command.collections if command.bot is not None else command.collections or None
    return CallTool(
        owner_id=command.documents_owner_id if is_lent else command.turn.owner_id,
        turn_id=command.turn.turn_id,
        call_id=call.id,
        name=tool.own_name,
        arguments=call.arguments.strip() or "{}",
        collections=named if tool.subject in _OF_DOCUMENTS else None,
        attempt=uuid4().hex,
        deadline_ms=int((time.time() + left_s) * 1000),
    )


def _lending(command: StartTurn, tool: OfferedTool) -> AbstractContextManager[None]:
    """Call a tool of ours for a bot's owner, who has named it among the bot's, by what that tool needs."""
    if command.bot is None or not tool.is_ours:
        return nullcontext()
    need = SUBJECTS[tool.subject]
    scopes = (need,) if isinstance(need, Permission) else ()
    return acting_for(Acting(command.bot.owner_id, Role.MEMBER, scopes, PrincipalKind.VISITOR))


def fault_of(arguments: str) -> str | None:
    """Say why arguments cannot be read; None when they are a JSON object, or nothing."""
    if len(arguments) > MAX_ARGUMENTS_CHARS:
        return f"The arguments are longer than {MAX_ARGUMENTS_CHARS:,} characters."
    try:
        read = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as error:
        return f"The arguments are no JSON: {error}." if isinstance(error, ValueError) else "Too deep."
    return None if isinstance(read, dict) else "The arguments have to be one JSON object."


def _told(error: ParleyError) -> str:
    if error.code is ErrorCode.UNAVAILABLE:
        return _AWAY
    if error.code is ErrorCode.TIMEOUT:
        return _LATE
    return error.message


def _failed(text: str) -> ToolResult:
    return ToolResult(text=text, is_error=True)
