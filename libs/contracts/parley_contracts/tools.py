"""Tools that a model may call: what it is told of them, and the calls it writes."""

from typing import Annotated, Any

from pydantic import Field

from parley_contracts.model import WireModel

MAX_TOOLS = 128
TOOL_NAME = r"^[A-Za-z0-9_-]{1,64}$"

ToolName = Annotated[str, Field(pattern=TOOL_NAME)]

ToolChoice = ToolName
"""`auto`, `none` or `required`, as OpenAI has it; anything else is the name of the one tool to be called."""

GENERAL_CHOICES = frozenset({"auto", "none", "required"})


class ToolSpec(WireModel):
    """What a model is told of one tool."""

    name: ToolName
    description: str = ""
    parameters: dict[str, Any] = Field(
        default_factory=dict[str, Any], description="JSON Schema of its arguments, an object; empty is none."
    )
    is_strict: bool = Field(default=False, description="The arguments are to follow the schema exactly.")


class ToolCall(WireModel):
    """One call that a model has written."""

    id: str = Field(description="By which its result names it.")
    name: str
    arguments: str = Field(description="JSON text just as the model wrote it, which may be none.")
