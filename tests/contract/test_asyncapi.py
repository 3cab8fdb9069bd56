"""The AsyncAPI document is whole: every reference leads somewhere, and everything is reachable."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from jsonschema import Draft7Validator
from parley_contracts import headers, schemas
from parley_contracts.catalogue import CHANNELS, message_types


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads((schemas.FOLDER / "asyncapi.json").read_text(encoding="utf-8"))


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        found = cast(dict[str, Any], node)
        if isinstance(ref := found.get("$ref"), str):
            yield ref
        for value in found.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in cast(list[Any], node):
            yield from references(value)


def resolved(document: dict[str, Any], ref: str) -> Any:
    assert ref.startswith("#/"), ref
    node: Any = document
    for part in ref.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for ref in set(references(document)):
        resolved(document, ref)


def test_a_reference_that_leads_nowhere_is_noticed(document: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        resolved(document, "#/components/schemas/Gone")


def test_the_document_is_asyncapi_3(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert document["info"].keys() >= {"title", "version"}
    for operation in document["operations"].values():
        assert operation["action"] in {"send", "receive"}


def test_every_channel_stands_in_it_with_its_parameters(document: dict[str, Any]) -> None:
    for channel in CHANNELS:
        described = document["channels"][channel.name]
        assert described["address"] == channel.address
        assert set(described.get("parameters", ())) == set(channel.parameters)
        assert set(described["messages"]) == {one.__name__ for one in channel.messages}


def test_every_channel_is_sent_to_and_received_from(document: dict[str, Any]) -> None:
    for channel in CHANNELS:
        for action in ("send", "receive"):
            operation = document["operations"][f"{action}_{channel.name}"]
            assert operation["action"] == action
            assert operation["channel"]["$ref"] == f"#/channels/{channel.name}"
            reply = operation.get("reply")
            replies = resolved(document, reply["channel"]["$ref"])["messages"] if reply else ()
            assert list(replies) == [one.__name__ for one in channel.replies]


def test_an_operation_names_only_messages_of_its_channel(document: dict[str, Any]) -> None:
    named = [one for one in document["operations"].values() if "messages" in one]
    assert {one["channel"]["$ref"] for one in named} == {"#/channels/socket"}
    for operation in named:
        prefix = f"{operation['channel']['$ref']}/messages/"
        assert all(ref["$ref"].startswith(prefix) for ref in operation["messages"])


def test_every_message_is_reachable_from_an_operation(document: dict[str, Any]) -> None:
    reached: set[str] = set()
    waiting = set(references(document["operations"]))
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting.update(references(resolved(document, ref)))
    components = document["components"]
    assert {f"#/components/messages/{one.__name__}" for one in message_types()} <= reached
    unused = {f"#/components/{kind}/{name}" for kind in components for name in components[kind]} - reached
    assert unused == set()


def test_payloads_are_the_same_as_the_schema_of_each_message(document: dict[str, Any]) -> None:
    for message in message_types():
        payload = resolved(document, document["components"]["messages"][message.__name__]["payload"]["$ref"])
        text = (schemas.FOLDER / f"{message.__name__}.json").read_text(encoding="utf-8")
        alone: dict[str, Any] = json.loads(text.replace("#/$defs/", "#/components/schemas/"))
        for key in ("$schema", "$id", "$defs"):
            alone.pop(key, None)
        assert payload == alone


def test_every_component_schema_is_valid_as_asyncapi_reads_it(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_every_header_is_described(document: dict[str, Any]) -> None:
    names = {value for name, value in vars(headers).items() if name.isupper() and isinstance(value, str)}
    found = document["components"]["schemas"]
    described = {**found["MessageHeaders"]["properties"], **found["ErrorHeaders"]["properties"]}
    assert set(described) == names
    assert all(one["description"] for one in described.values())


def test_turn_events_carry_no_headers(document: dict[str, Any]) -> None:
    messages = document["components"]["messages"]
    assert "headers" not in messages["TextDelta"]
    assert messages["StartTurn"]["headers"]["$ref"].endswith("/MessageHeaders")
    assert messages["ErrorBody"]["headers"]["$ref"].endswith("/ErrorHeaders")
