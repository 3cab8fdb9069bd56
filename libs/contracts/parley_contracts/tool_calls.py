"""Tools that Parley runs: how a service of the bus offers them, and how one is called."""

from typing import Literal

from pydantic import Field

from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.rag import CollectionName
from parley_contracts.tools import ToolSpec

MAX_OFFERED = 64
MAX_ARGUMENTS_CHARS = 65_536
MAX_RESULT_CHARS = 100_000
NAME_MARK = "__"
"""Stands between another team's service and its own name of a tool, in the name that models call."""


class DescribeTools(WireModel):
    """Question on `tool.describe`, which every queue group hears once: who offers which tools?"""

    type: Literal["describe_tools"] = "describe_tools"


class ToolsOffered(WireModel):
    """Told on `tool.offered.<user>`: all tools that this user of the bus offers, by their own names."""

    type: Literal["tools_offered"] = "tools_offered"
    tools: tuple[ToolSpec, ...] = Field(max_length=MAX_OFFERED)


class CallTool(OwnedRequest):
    """Request on `tool.call.<name>`, or `tool.call.<service>.<name>`: what a model wants to have done.

    The same `turn_id` and `call_id` again is the same call: who ran it may have died before noting its end.
    """

    type: Literal["call_tool"] = "call_tool"
    turn_id: str
    call_id: str
    name: str = Field(description="As it was offered.")
    arguments: str = Field(
        max_length=MAX_ARGUMENTS_CHARS, description="A JSON object, as the model wrote it; not checked."
    )
    collections: tuple[CollectionName, ...] | None = Field(
        default=None,
        description="For tools of ours: where the owner's documents are that count. None is all.",
    )
    attempt: str = Field(default="", description="Another one each time that the call is made.")
    deadline_ms: int = Field(description="Unix epoch, milliseconds; nobody waits for the answer any longer.")


class CallGivenUp(WireModel):
    """Told on `tool.given_up.<user>`: nobody waits for a call; its turn was stopped, or it is late.

    Who takes over a turn may make the same call again meanwhile, as another attempt: that is waited for.
    """

    type: Literal["call_given_up"] = "call_given_up"
    turn_id: str
    call_id: str
    attempt: str = Field(description="As the call had it.")


class ToolResult(WireModel):
    """What a model is told. It is data to it, never an instruction."""

    type: Literal["tool_result"] = "tool_result"
    text: str = Field(max_length=MAX_RESULT_CHARS)
    is_error: bool = False
