"""The ways in which servers write the same stream otherwise than OpenAI does."""

import json
from collections.abc import Callable, Mapping
from typing import Any

_DATA = b"data: "


def _on_several_lines(piece: bytes) -> bytes:
    """Return events whose JSON is spread over lines of data."""
    events = [event.removeprefix(_DATA) for event in piece.split(b"\n\n") if event]
    return b"".join(b"%b\n\n" % _several_lines(event) for event in events)


def _several_lines(event: bytes) -> bytes:
    text = event.decode() if event == b"[DONE]" else json.dumps(json.loads(event), indent=1)
    return b"\n".join(_DATA + line.encode() for line in text.splitlines())


EVENT_FORMS: Mapping[str, Callable[[bytes], bytes]] = {
    "crlf": lambda piece: piece.replace(b"\n", b"\r\n"),
    "cr": lambda piece: piece.replace(b"\n", b"\r"),
    "commented": lambda piece: b": keep-alive\n\n:\n" + piece,
    "named": lambda piece: b"event: message\nid: 7\nretry: 1000\n" + piece,
    "unspaced": lambda piece: piece.replace(_DATA, b"data:"),
    "several-lines": _on_several_lines,
}


def shown_usage(form: str, usage: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the event of the usage holds beside its empty choices; None is no such event."""
    forms: Mapping[str, dict[str, Any] | None] = {
        "usage-absent": None,
        "usage-null": {"usage": None},
        "usage-strings": {
            "usage": {"prompt_tokens": str(usage["prompt_tokens"]), "completion_tokens": "several"}
        },
        "usage-in-part": {"usage": {"completion_tokens": usage["completion_tokens"]}},
        "usage-a-number": {"usage": usage["total_tokens"]},
    }
    return forms.get(form, {"usage": usage})
