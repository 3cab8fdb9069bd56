"""Writes what travels as documents: a JSON Schema for each message, and one AsyncAPI 3.0.0 document.

`python -m parley_contracts.schemas` writes them, `--check` only says what differs.
"""

import argparse
import ast
import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from parley_contracts import headers, subjects
from parley_contracts.catalogue import CHANNELS, SOCKET, message_types
from parley_contracts.channel import Channel

FOLDER = Path(__file__).parent.parent / "schemas" / "v1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
URN = ":".join(("urn", *subjects.PREFIX.split(".")))
Schema = dict[str, Any]

ERROR_HEADERS = frozenset({headers.SERVICE_ERROR, headers.SERVICE_ERROR_CODE})
ALWAYS_SENT = frozenset({headers.MESSAGE_ID, headers.TRACEPARENT, *ERROR_HEADERS})


def _with_type_required(schema: Schema) -> Schema:
    """Return the schema of a message with `type` required, for it is always sent."""
    if "const" not in schema.get("properties", {}).get("type", {}):
        return schema
    required = [name for name in schema["properties"] if name == "type" or name in schema.get("required", ())]
    return {**schema, "required": required}


def message_schema(message: type[BaseModel]) -> Schema:
    """Return the JSON Schema (2020-12) of one message, as its sender has to write it."""
    body = _with_type_required(message.model_json_schema())
    return {"$schema": DIALECT, "$id": f"{URN}:{message.__name__}", **body}


def _component_schemas() -> Schema:
    _, found = models_json_schema(
        [(message, "validation") for message in message_types()],
        ref_template="#/components/schemas/{model}",
    )
    return {name: _with_type_required(schema) for name, schema in found["$defs"].items()}


def _documented_headers() -> dict[str, str]:
    """Return header to description, from the constants of `headers.py` and the text under each."""
    body = ast.parse(inspect.getsource(headers)).body
    found: dict[str, str] = {}
    for constant, text in pairwise(body):
        match constant, text:
            case (
                ast.Assign(value=ast.Constant(value=str(name))),
                ast.Expr(value=ast.Constant(value=str(description))),
            ):
                found[name] = description
            case _:
                continue
    return found


def _headers_schema(described: Mapping[str, str]) -> Schema:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in described.items()},
        "required": [name for name in described if name in ALWAYS_SENT],
    }


def _headers_schemas() -> Schema:
    described = _documented_headers()
    errors = {name: text for name, text in described.items() if name in ERROR_HEADERS}
    others = {name: text for name, text in described.items() if name not in ERROR_HEADERS}
    return {"MessageHeaders": _headers_schema(others), "ErrorHeaders": _headers_schema(errors)}


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in path)}


def _headers_of() -> dict[str, str]:
    """Return message to headers schema; a message that is not there is sent without."""
    found = {
        message.__name__: "MessageHeaders"
        for channel in CHANNELS
        if not channel.is_bare
        for message in channel.messages
    }
    return {**found, "ErrorBody": "ErrorHeaders"}


def _component_messages() -> Schema:
    headers_of = _headers_of()
    found: Schema = {}
    for message in message_types():
        name = message.__name__
        found[name] = {
            "name": name,
            "summary": inspect.cleandoc(message.__doc__ or "").split("\n", 1)[0],
            "contentType": "application/json",
            "payload": _ref("components", "schemas", name),
        }
        if name in headers_of:
            found[name]["headers"] = _ref("components", "schemas", headers_of[name])
    return found


def _messages(types: Iterable[type[BaseModel]]) -> Schema:
    return {one.__name__: _ref("components", "messages", one.__name__) for one in types}


def _reply_name(channel: Channel) -> str:
    return f"{channel.name}_reply"


def _channels() -> Schema:
    found: Schema = {}
    for channel in CHANNELS:
        found[channel.name] = {
            "address": channel.address,
            "title": f"{channel.kind}, carried by {channel.carried_by}",
            "description": f"{channel.meaning} {channel.sender} -> {channel.receiver}.",
            "servers": [_ref("servers", "bus")],
            "messages": _messages(channel.messages),
        }
        if channel.parameters:
            found[channel.name]["parameters"] = {
                name: {"description": "One subject part: 1 to 128 of A-Z a-z 0-9 _ -."}
                for name in channel.parameters
            }
        if channel.replies:
            found[_reply_name(channel)] = {
                "address": None,
                "description": "The reply subject that the request names.",
                "servers": [_ref("servers", "bus")],
                "messages": _messages(channel.replies),
            }
    found["socket"] = {
        "address": SOCKET.path,
        "description": SOCKET.meaning,
        "servers": [_ref("servers", "edge")],
        "messages": _messages((*SOCKET.from_client, *SOCKET.to_client)),
    }
    return found


def _operation(action: str, channel: str, summary: str) -> Schema:
    """Return an operation on all messages of a channel: one that names none is on all of them."""
    return {"action": action, "channel": _ref("channels", channel), "summary": summary}


def _socket_operation(action: str, types: Iterable[type[BaseModel]]) -> Schema:
    messages = [_ref("channels", "socket", "messages", one.__name__) for one in types]
    return {**_operation(action, "socket", "By the gateway."), "messages": messages}


def _operations() -> Schema:
    found: Schema = {}
    for channel in CHANNELS:
        for action, who in (("send", channel.sender), ("receive", channel.receiver)):
            operation = _operation(action, channel.name, f"By {who}.")
            if channel.replies:
                operation["reply"] = {"channel": _ref("channels", _reply_name(channel))}
            found[f"{action}_{channel.name}"] = operation
    found["receive_socket"] = _socket_operation("receive", SOCKET.from_client)
    found["send_socket"] = _socket_operation("send", SOCKET.to_client)
    return found


def asyncapi_document() -> Schema:
    """Return the AsyncAPI 3.0.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Parley",
            "version": subjects.PREFIX.rsplit(".", 1)[-1],
            "description": "What travels on the bus and the WebSocket; within a version it only grows.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "bus": {"host": "127.0.0.1:14222", "protocol": "nats", "description": "NATS with JetStream."},
            "edge": {"host": "127.0.0.1:8000", "protocol": "ws", "description": "The gateway."},
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": _component_messages(),
            "schemas": {**_component_schemas(), **_headers_schemas()},
        },
    }


def generated() -> dict[str, str]:
    """Return every document as file name to text; the same models give the same text."""
    documents = {f"{one.__name__}.json": message_schema(one) for one in message_types()}
    documents["asyncapi.json"] = asyncapi_document()
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in documents.items()
    }


def differences(folder: Path) -> list[str]:
    """Return one line for each file of `folder` that is not as generated."""
    wanted = generated()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return [
        f"{name}: {'missing' if name not in found else 'not generated' if name not in wanted else 'differs'}"
        for name in sorted({*wanted, *found})
        if wanted.get(name) != found.get(name)
    ]


def write(folder: Path) -> None:
    """Make the JSON files of `folder` those that are generated."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = generated()
    for path in folder.glob("*.json"):
        if path.name not in documents:
            path.unlink()
    for name, text in documents.items():
        (folder / name).write_text(text, encoding="utf-8")


def main() -> int:
    """Write the documents, or with `--check` name those that differ and return 1."""
    parser = argparse.ArgumentParser(prog="python -m parley_contracts.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they stand")
    options = parser.parse_args()
    if not options.check:
        write(options.folder)
        return 0
    found = differences(options.folder)
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
