"""What is wrong with a field, in words for people: not every program that sends is written by its reader."""

from collections.abc import Mapping
from typing import Any

from parley_contracts import attachments, bots, local_models, provider_keys, tools, usage

_PATTERN_SAYINGS = {
    r"^https?://": "has to begin with http:// or https://",
    r"^[^\x00-\x1f/\\]+$": "may hold no slashes and no control characters",
    r"^[^\x00-\x1f]+$": "may hold no control characters",
    r"^[A-Za-z0-9_.:-]+$": "may hold letters, digits and _ . : - only",
    attachments.ATTACHMENT_ID: "has to be the id of an attachment: 32 digits and letters a to f",
    local_models.MODEL_FORM: "has to be a provider and its model, such as ollama/llama3.2:3b",
    tools.TOOL_NAME: "may hold letters, digits and _ - only, at most 64",
    bots.TOOL_NAME: "may hold letters, digits and _ . : / - only",
    bots.PROVIDER_NAME: "may hold small letters, digits and _ - only, and begins with a letter",
    bots.COLOUR: "has to be a colour such as #2b5cd9",
    bots.ORIGIN: "has to be an origin such as https://www.example.org, without a path and in small letters",
    usage.DAY: "has to be a day such as 2026-11-21",
    provider_keys.PRINTABLE: "may hold letters, digits and signs only",
}


def saying(fault: Mapping[str, Any]) -> str:
    """Return what goes after a field's name, for one of the `errors()` of a pydantic `ValidationError`."""
    context: Mapping[str, Any] = fault.get("ctx") or {}
    kind: str = fault["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not known here"
    if kind in {"string_too_short", "too_short"} and context.get("min_length") == 1:
        return "must not be empty"
    if kind == "string_pattern_mismatch" and context.get("pattern") in _PATTERN_SAYINGS:
        return _PATTERN_SAYINGS[context["pattern"]]
    text: str = fault["msg"]
    return text[0].lower() + text[1:] if not text.startswith("Input ") else text.removeprefix("Input ")


def place(fault: Mapping[str, Any], *, without_first: bool = False) -> str | None:
    """Return the field's place, joined by dots; None for the whole.

    `without_first` drops the first part, which is no field: where the value came from, or a union's choice.
    """
    return ".".join(str(part) for part in fault["loc"][1 if without_first else 0 :]) or None
