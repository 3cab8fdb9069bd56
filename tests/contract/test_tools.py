"""What a caller may say of tools, and of the shape of an answer."""

from typing import Any

import pytest
from parley_contracts.response_format import ResponseFormat
from parley_contracts.tools import ToolSpec
from parley_contracts.turns import GenerationParams
from pydantic import ValidationError

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.mark.parametrize("name", ["", "two words", "a" * 65, "naïve", "a.b", "line\n"])
def test_a_name_that_a_server_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ToolSpec(name=name)
    with pytest.raises(ValidationError):
        GenerationParams(tool_choice=name)


def test_a_response_format_travels_as_openai_writes_it() -> None:
    written = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
    read = ResponseFormat.model_validate(written)
    assert read.model_dump(exclude_none=True) == written
    assert ResponseFormat.model_validate_json(read.model_dump_json()) == read


@pytest.mark.parametrize(
    "body",
    [{"type": "text"}, {"type": "json_schema", "json_schema": {"name": "two words"}}],
    ids=["another type", "a bad name"],
)
def test_a_response_format_that_no_server_takes_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ResponseFormat.model_validate(body)
