"""The rule "only additive changes within a version", as a comparison of two JSON Schemas."""

from typing import Any, cast

Schema = dict[str, Any]

NOT_BINDING = frozenset({"title", "description", "default", "examples", "$id", "$schema", "$defs"})
"""Keywords that do not decide which messages are valid."""


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Return what in `new` is more than an addition to `old`, one line each; empty is compatible.

    A field may be added if it is optional. Everything else - a field that is gone, is needed now, is
    needed no longer, or has other values - breaks a reader or a sender that knows `old`.
    """
    comparison = _Comparison(old, new)
    comparison.compare(old, new, "")
    return comparison.found


class _Comparison:
    def __init__(self, old_root: Schema, new_root: Schema) -> None:
        self.found: list[str] = []
        self._old_root = old_root
        self._new_root = new_root
        self._open: set[tuple[str, str]] = set()

    def compare(self, old: object, new: object, place: str) -> None:
        pair = (_ref(old), _ref(new))
        if any(pair):
            # A model may hold itself: a pair that is being compared already is not entered again.
            if pair in self._open:
                return
            self._open.add(pair)
            self.compare(_resolved(old, self._old_root), _resolved(new, self._new_root), place)
            self._open.discard(pair)
        elif isinstance(old, dict) and isinstance(new, dict):
            self._compare_schemas(cast(Schema, old), cast(Schema, new), place)
        elif isinstance(old, list) and isinstance(new, list):
            self._compare_lists(cast(list[object], old), cast(list[object], new), place)
        elif old != new:
            self.found.append(f"{place}: {old!r} became {new!r}")

    def _compare_lists(self, old: list[object], new: list[object], place: str) -> None:
        if len(old) != len(new):
            self.found.append(f"{place}: {old!r} became {new!r}")
            return
        for one, other in zip(old, new, strict=True):
            self.compare(one, other, place)

    def _compare_schemas(self, old: Schema, new: Schema, place: str) -> None:
        self._compare_fields(old, new, place)
        for keyword in sorted({*old, *new} - NOT_BINDING - {"properties", "required"}):
            self.compare(old.get(keyword), new.get(keyword), f"{place}/{keyword}")

    def _compare_fields(self, old: Schema, new: Schema, place: str) -> None:
        before: Schema = old.get("properties", {})
        after: Schema = new.get("properties", {})
        needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
        for name in before:
            if name not in after:
                self.found.append(f"{place}/{name}: is gone")
            else:
                self.compare(before[name], after[name], f"{place}/{name}")
        self.found += [f"{place}/{name}: is required now" for name in sorted(needed_after - needed_before)]
        for name in sorted(needed_before - needed_after):
            if name in after:
                self.found.append(f"{place}/{name}: is required no longer")


def _ref(node: object) -> str:
    return str(cast(Schema, node).get("$ref", "")) if isinstance(node, dict) else ""


def _resolved(node: object, root: Schema) -> object:
    target: Any = node
    while ref := _ref(target):
        target = root
        for part in ref.removeprefix("#/").split("/"):
            target = target[part]
    return target
