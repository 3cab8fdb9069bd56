"""Hypothesis strategies for any message, from its fields and their constraints."""

from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

MAX_ITEMS = 3
MAX_CHARS = 40
LARGEST_INT = 2**53 - 1
"""What every JSON reader holds exactly."""


def made(message: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Return instances of `message`; fields with a default sometimes keep it."""
    needed: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in message.model_fields.items():
        (needed if field.is_required() else optional)[name] = _field(field)
    return st.fixed_dictionaries(needed, optional=optional).map(message.model_validate)


def _field(field: FieldInfo) -> st.SearchStrategy[Any]:
    return _value(field.annotation, _flattened(field.metadata))


def _flattened(metadata: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in metadata:
        if isinstance(item, FieldInfo):
            found += _flattened(item.metadata)
        elif isinstance(item, StringConstraints):
            found += list(item)
        else:
            found.append(item)
    return found


any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.text(max_size=MAX_CHARS),
    lambda inner: st.dictionaries(st.text(max_size=MAX_CHARS), inner, max_size=MAX_ITEMS),
    max_leaves=MAX_ITEMS,
)


def _value(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    if hasattr(annotation, "__metadata__"):
        return _value(annotation.__origin__, metadata + _flattened(list(annotation.__metadata__)))
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of(*(_value(one, metadata) for one in arguments))
    if origin is tuple:
        smallest, largest = _lengths(metadata, MAX_ITEMS)
        return st.lists(_value(arguments[0], []), min_size=smallest, max_size=largest).map(tuple)
    if origin is dict:
        return st.dictionaries(_value(arguments[0], []), _value(arguments[1], []), max_size=MAX_ITEMS)
    return _plain(annotation, metadata)


def _plain(kind: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    if issubclass(kind, BaseModel):
        return made(kind)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    if kind is str:
        return _text(metadata)
    if kind is int:
        low, high = _bounds(metadata)
        return st.integers(-LARGEST_INT if low is None else low, LARGEST_INT if high is None else high)
    if kind is float:
        low, high = _bounds(metadata)
        return st.floats(
            low,
            high,
            allow_nan=False,
            allow_infinity=False,
            exclude_min=any(isinstance(item, Gt) for item in metadata),
            exclude_max=any(isinstance(item, Lt) for item in metadata),
        )
    fewest, most = _lengths(metadata, MAX_CHARS)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        Any: any_json,
        bool: st.booleans(),
        bytes: st.binary(min_size=fewest, max_size=most),
        NoneType: st.none(),
    }
    return plain[kind]


def _text(metadata: list[Any]) -> st.SearchStrategy[str]:
    fewest, most = _lengths(metadata, MAX_CHARS)
    for item in metadata:
        if pattern := getattr(item, "pattern", None):
            return _matching(str(pattern), fewest, _limit(metadata))
    return st.text(min_size=fewest, max_size=most)


def _matching(pattern: str, fewest: int, limit: int) -> st.SearchStrategy[str]:
    # A last newline passes Python's $, but not the $ of the engine that Pydantic uses; surrounding
    # space may be stripped before the length is looked at.
    return st.from_regex(pattern, fullmatch=True).filter(
        lambda text: fewest <= len(text.strip()) <= len(text) <= limit and "\n" not in text
    )


def _limit(metadata: list[Any]) -> int:
    return min([item.max_length for item in metadata if isinstance(item, MaxLen)], default=LARGEST_INT)


def _lengths(metadata: list[Any], extra: int) -> tuple[int, int]:
    """Return the fewest and most items, with at most `extra` above the fewest."""
    fewest = max([item.min_length for item in metadata if isinstance(item, MinLen)], default=0)
    return fewest, min(_limit(metadata), fewest + extra)


def _bounds(metadata: list[Any]) -> tuple[Any, Any]:
    low: list[Any] = [
        item.ge if isinstance(item, Ge) else item.gt for item in metadata if isinstance(item, Ge | Gt)
    ]
    high: list[Any] = [
        item.le if isinstance(item, Le) else item.lt for item in metadata if isinstance(item, Le | Lt)
    ]
    return max(low, default=None), min(high, default=None)
