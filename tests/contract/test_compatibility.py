"""Only additive changes within a version; what is unknown is ignored, what is malformed is not."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from parley_contracts.client_frames import CLIENT_FRAME
from parley_contracts.schemas import FOLDER
from parley_contracts.turn_events import LOG_EVENT, TextDelta, encode_event, known_event
from parley_contracts.turns import PEN_RECORD
from pydantic import ValidationError

from tests.contract.compatibility import breaking_changes

ROOT = Path(__file__).parents[2]

OLD: dict[str, Any] = {
    "type": "object",
    "$defs": {"Ref": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}},
    "properties": {
        "type": {"const": "asked"},
        "ref": {"$ref": "#/$defs/Ref"},
        "limit": {"type": "integer", "maximum": 10, "default": 5},
    },
    "required": ["type", "ref"],
}


def changed(change: str, *path: str, value: Any = None) -> dict[str, Any]:
    new = copy.deepcopy(OLD)
    node = new
    for part in path[:-1]:
        node = node[part]
    if change == "remove":
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return new


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        changed("set", "properties", "note", value={"type": "string"}),
        changed("set", "$defs", "Ref", "properties", "name", value={"type": "string"}),
        changed("set", "properties", "limit", "description", value="How many."),
    ],
    ids=["nothing", "an optional field", "an optional field further in", "words"],
)
def test_additions_are_compatible(new: dict[str, Any]) -> None:
    assert breaking_changes(OLD, new) == []


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (changed("remove", "properties", "limit"), "/limit: is gone"),
        (changed("set", "required", value=["type", "ref", "limit"]), "/limit: is required now"),
        (changed("set", "required", value=["type"]), "/ref: is required no longer"),
        (
            changed("set", "properties", "limit", "type", value="string"),
            "/limit/type: 'integer' became 'string'",
        ),
        (changed("set", "properties", "limit", "maximum", value=5), "/limit/maximum: 10 became 5"),
        (changed("remove", "$defs", "Ref", "properties", "id"), "/ref/id: is gone"),
        (changed("set", "properties", "type", "const", value="ask"), "/type/const: 'asked' became 'ask'"),
    ],
)
def test_other_changes_are_named(new: dict[str, Any], expected: str) -> None:
    assert expected in breaking_changes(OLD, new)


def _git(*arguments: str) -> str | None:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout if ran.returncode == 0 else None


def test_every_change_since_the_last_release_is_additive() -> None:
    release = (_git("describe", "--tags", "--abbrev=0", "--match", "v*") or "").strip()
    folder = FOLDER.relative_to(ROOT).as_posix()
    listed = _git("ls-tree", "--name-only", release, f"{folder}/") if release else None
    if not listed:
        pytest.skip("there is no release yet with schemas of this version")
    faults: list[str] = []
    for path in listed.split():
        if path.endswith("asyncapi.json"):
            continue
        name, old = Path(path).name, json.loads(_git("show", f"{release}:{path}") or "")
        new = FOLDER / name
        found = breaking_changes(old, json.loads(new.read_text())) if new.exists() else [": is gone"]
        faults += [f"{name}{line}" for line in found]
    assert faults == []


def test_unknown_fields_of_a_known_type_are_ignored() -> None:
    event = TextDelta(seq=1_000_001, turn_id="a", text="b")
    frame = json.dumps({**json.loads(encode_event(event)), "added_later": {"x": 1}}).encode()
    assert known_event(frame) == event


def test_an_event_of_an_unknown_type_is_ignored() -> None:
    assert known_event(b'{"seq":1000001,"type":"added_later","turn_id":"a"}') is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"seq":1000001,"type":"text_delta","turn_id":"a"}',
        b'{"seq":"later","type":"text_delta","turn_id":"a","text":"b"}',
        b'{"seq":1000001,"turn_id":"a","text":"b"}',
        b'{"seq":1000001,"type":"text_del',
        b"[]",
    ],
    ids=["a field is missing", "a field is of another type", "no type", "no JSON", "no object"],
)
def test_a_malformed_event_is_an_error(frame: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        known_event(frame)


def test_a_pen_record_of_an_unknown_type_is_an_error_because_a_slot_must_not_be_misread() -> None:
    with pytest.raises(ValidationError):
        PEN_RECORD.validate_json(b'{"type":"added_later"}')


def test_a_client_frame_of_an_unknown_type_is_refused_but_unknown_fields_are_ignored() -> None:
    with pytest.raises(ValidationError, match="union_tag_invalid"):
        CLIENT_FRAME.validate_json(b'{"type":"added_later"}')
    assert CLIENT_FRAME.validate_json(b'{"type":"ping","added_later":1}').type == "ping"


def test_known_event_reads_what_the_union_reads() -> None:
    frame = encode_event(TextDelta(seq=1_000_001, turn_id="a", text="b"))
    assert known_event(frame) == LOG_EVENT.validate_json(frame)
