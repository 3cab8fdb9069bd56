"""The tools of OpenAI's request, the choice among them, and the shape that an answer is to have."""

from typing import Any, Literal

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.response_format import ResponseFormat, ResponseSchema
from parley_contracts.tools import GENERAL_CHOICES, ToolName, ToolSpec
from pydantic import BaseModel, Field


class FunctionTool(BaseModel):
    """A function that the model may call, and that the caller runs."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def spec(self) -> ToolSpec:
        return ToolSpec(
            name=self.name,
            description=self.description or "",
            parameters=self.parameters or {},
            is_strict=bool(self.strict),
        )


class CompletionTool(BaseModel):
    """A tool; others than functions are refused."""

    type: Literal["function"]
    function: FunctionTool


class NamedFunction(BaseModel):
    """A function by its name."""

    name: ToolName


class NamedChoice(BaseModel):
    """The one function that is to be called."""

    type: Literal["function"]
    function: NamedFunction


Choice = Literal["none", "auto", "required"] | NamedChoice


class WantedSchema(BaseModel):
    """The JSON Schema of an answer."""

    name: ToolName
    description: str | None = None
    definition: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class WantedFormat(BaseModel):
    """The shape of an answer: `text` is any."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: WantedSchema | None = None

    def plain(self) -> ResponseFormat | None:
        """Return it as it travels; ParleyError `invalid_request` when it contradicts itself."""
        if (self.type == "json_schema") != (self.json_schema is not None):
            field = "response_format.json_schema"
            message = f"{field}: belongs to the type json_schema, which needs one."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field=field)
        if self.type == "text":
            return None
        wanted = self.json_schema
        schema = wanted and ResponseSchema.model_validate(wanted.model_dump(by_alias=True))
        return ResponseFormat(type=self.type, json_schema=schema)


def tool_specs(tools: list[CompletionTool]) -> tuple[ToolSpec, ...]:
    """Return the tools; ParleyError `invalid_request` for two of one name, or one named like a choice."""
    specs = tuple(tool.function.spec() for tool in tools)
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names) or GENERAL_CHOICES & set(names):
        message = "tools: names are to differ, and are not to be auto, none or required."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="tools")
    return specs


def tool_choice(choice: Choice | None, tools: tuple[ToolSpec, ...]) -> str | None:
    """Return the choice by one word; ParleyError `invalid_request` for one among tools that are not there."""
    if choice is None:
        return None
    named = choice.function.name if isinstance(choice, NamedChoice) else None
    if not tools and choice != "none":
        message = "tool_choice: is only allowed where tools are given."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="tool_choice")
    if named is not None and all(tool.name != named for tool in tools):
        message = f"tool_choice: there is no tool {named} among the tools."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="tool_choice")
    return named or str(choice)
