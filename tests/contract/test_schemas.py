"""The committed documents are those of the models, and they describe what really travels."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from parley_contracts import catalogue, schemas
from pydantic import BaseModel, ValidationError

from tests.contract.made_messages import made

MESSAGES = catalogue.message_types()

# Replies that are told by the request they answer; they are also bodies of the HTTP surface.
TOLD_BY_THEIR_REQUEST = {"Collection", "Document", "ErrorBody"}

every_message = pytest.mark.parametrize("message", MESSAGES, ids=lambda one: one.__name__)
some_examples = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def schema_of(message: type[BaseModel]) -> dict[str, Any]:
    return json.loads((schemas.FOLDER / f"{message.__name__}.json").read_text(encoding="utf-8"))


@cache
def validator_of(message: type[BaseModel]) -> Any:
    return Draft202012Validator(schema_of(message))


def faults(message: type[BaseModel], body: object) -> list[str]:
    return [str(error.message) for error in validator_of(message).iter_errors(body)]


def test_the_documents_on_disk_are_those_of_the_models() -> None:
    assert schemas.differences(schemas.FOLDER) == [], "run `make schemas`, and look at what changes"


def test_generation_gives_the_same_text_each_time() -> None:
    assert schemas.generated() == schemas.generated()


def test_check_names_what_is_missing_changed_and_left_over(tmp_path: Path) -> None:
    schemas.write(tmp_path)
    assert schemas.differences(tmp_path) == []
    (tmp_path / "Seal.json").unlink()
    (tmp_path / "Pong.json").write_text("{}")
    (tmp_path / "Gone.json").write_text("{}")
    assert schemas.differences(tmp_path) == [
        "Gone.json: not generated",
        "Pong.json: differs",
        "Seal.json: missing",
    ]


def test_the_command_checks_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["schemas", "--check", "--folder", str(tmp_path)])
    assert schemas.main() == 1
    assert "asyncapi.json: missing" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["schemas", "--folder", str(tmp_path)])
    assert schemas.main() == 0
    monkeypatch.setattr("sys.argv", ["schemas", "--check", "--folder", str(tmp_path)])
    assert schemas.main() == 0
    assert capsys.readouterr().out == ""


@every_message
def test_every_schema_is_valid_json_schema(message: type[BaseModel]) -> None:
    Draft202012Validator.check_schema(schema_of(message))


@every_message
def test_every_message_is_frozen_documented_and_says_its_type(message: type[BaseModel]) -> None:
    assert message.model_config.get("frozen")
    assert message.model_config.get("extra") == "ignore"
    assert message.__doc__
    assert "type" in message.model_fields or message.__name__ in TOLD_BY_THEIR_REQUEST


def test_no_two_messages_of_one_channel_have_the_same_type() -> None:
    for travelling in (
        *(one.messages for one in catalogue.CHANNELS),
        catalogue.SOCKET.from_client,
        catalogue.SOCKET.to_client,
    ):
        types = [schema_of(one)["properties"].get("type", {}).get("const") for one in travelling]
        assert len(set(types)) == len(types)


@every_message
@some_examples
@given(data=st.data())
def test_a_message_comes_back_as_it_was_sent_whatever_is_added_later_and_never_without_what_it_needs(
    message: type[BaseModel], data: st.DataObject
) -> None:
    sent = data.draw(made(message))
    body = json.loads(sent.model_dump_json())
    for text in (body, {**body, "added_later": [1]}):
        assert message.model_validate_json(json.dumps(text)) == sent
        assert faults(message, text) == []
    needed = [name for name, field in message.model_fields.items() if field.is_required()]
    if needed:
        del body[data.draw(st.sampled_from(needed))]
        with pytest.raises(ValidationError):
            message.model_validate_json(json.dumps(body))
        assert faults(message, body) != []
