"""What a model has written as a tool's arguments, read into what the tool takes."""

from typing import Any, TypeVar

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.invalid_fields import place, saying
from parley_contracts.tools import ToolSpec
from pydantic import BaseModel, ConfigDict, ValidationError

Arguments = TypeVar("Arguments", bound="ToolArguments")


class ToolArguments(BaseModel):
    """The arguments of a tool: its fields are the schema that models are told of."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def read(cls: type[Arguments], text: str) -> Arguments:
        """Return arguments; ParleyError `invalid_request` says for the model what is wrong with them."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = place(first)
            message = f"{field or 'arguments'}: {saying(first)}"
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field=field) from None

    @classmethod
    def spec(cls, name: str, description: str) -> ToolSpec:
        """Return the tool that takes these arguments."""
        return ToolSpec(name=name, description=description, parameters=_plain(cls.model_json_schema()))


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the titles that Pydantic makes of names: every prompt would carry them."""
    kept = {name: value for name, value in schema.items() if name not in ("title", "description")}
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    kept["properties"] = {
        name: {key: value for key, value in one.items() if key != "title"} for name, one in properties.items()
    }
    return kept
