"""A client that sends what a field cannot hold is told so in words, whatever the field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from parley_contracts import invalid_fields
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import open_edge


def patterns_in(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        fields = cast(dict[str, Any], schema)
        if isinstance(fields.get("pattern"), str):
            yield fields["pattern"]
        for inner in fields.values():
            yield from patterns_in(inner)
    elif isinstance(schema, list):
        for inner in cast(list[object], schema):
            yield from patterns_in(inner)


async def test_every_pattern_of_the_api_has_words_for_people(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with open_edge(bus, tmp_path) as client:
        found = set(patterns_in((await client.get("/openapi.json")).json()))
    await bus.close()
    assert found, "the description names no pattern at all"
    for pattern in found:
        fault = {"type": "string_pattern_mismatch", "ctx": {"pattern": pattern}, "msg": pattern}
        assert not invalid_fields.saying(fault).startswith("^")
