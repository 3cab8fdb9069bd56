"""The shape that an answer is to have, in the words of OpenAI's `response_format`."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from parley_contracts.model import WireModel


class ResponseSchema(WireModel):
    """The JSON Schema that an answer is to follow."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    definition: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(WireModel):
    """JSON of any shape, or of the one that a schema says."""

    type: Literal["json_object", "json_schema"]
    json_schema: ResponseSchema | None = Field(default=None, description="Of the type `json_schema` only.")
