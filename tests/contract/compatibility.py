"""The rule "only additive changes within a version", as a comparison of two JSON Schemas."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

NOT_BINDING = frozenset({"title", "description", "default", "examples", "$id", "$schema", "$defs"})
"""Keywords that do not decide which messages are valid."""


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Return what in `new` is more than an addition to `old`, one line each; empty is compatible.

    A field may be added if it is optional. Everything else - a field that is gone, is needed now, is
    needed no longer, or has other values - breaks a reader or a sender that knows `old`.
    """
    return _changes(old, new, old, new, "", frozenset())


def _resolved(node: Any, root: Schema) -> Any:
    while isinstance(node, Mapping) and "$ref" in node:
        target: Any = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def _changes(
    old: Any, new: Any, old_root: Schema, new_root: Schema, place: str, seen: frozenset[str]
) -> list[str]:
    key = f"{old.get('$ref')} {new.get('$ref')}" if isinstance(old, Mapping) and "$ref" in old else ""
    if key in seen:
        return []
    seen |= {key} if key else set()
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for one, other in zip(old, new, strict=True)
            for line in _changes(one, other, old_root, new_root, place, seen)
        ]
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return [] if old == new else [f"{place or 'message'}: {old!r} became {new!r}"]
    found: list[str] = []
    for keyword in sorted({*old, *new} - NOT_BINDING):
        if keyword == "properties":
            found += _field_changes(old, new, old_root, new_root, place, seen)
        elif keyword == "required":
            found += _required_changes(old, new, place)
        else:
            found += _changes(
                old.get(keyword), new.get(keyword), old_root, new_root, f"{place}/{keyword}", seen
            )
    return found


def _field_changes(
    old: Schema, new: Schema, old_root: Schema, new_root: Schema, place: str, seen: frozenset[str]
) -> list[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    found = [f"{place}/{name}: is gone" for name in before if name not in after]
    for name in before:
        if name in after:
            found += _changes(before[name], after[name], old_root, new_root, f"{place}/{name}", seen)
    return found


def _required_changes(old: Schema, new: Schema, place: str) -> list[str]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    gone = {name for name in before - after if name in new.get("properties", {})}
    return [f"{place}/{name}: is required now" for name in sorted(after - before)] + [
        f"{place}/{name}: is required no longer" for name in sorted(gone)
    ]
