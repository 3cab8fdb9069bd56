"""What OpenAI-compatible servers say of their models' abilities, each in words of its own.

OpenAI's own list says nothing of them. Sources: https://openrouter.ai/docs/api-reference,
https://docs.mistral.ai/api, llama.cpp's server and LM Studio, whose lists have `capabilities` as well.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast, get_args

from parley_contracts.llm import Capability

_OURS: Mapping[str, Capability] = {
    "tools": "tools",
    "tool_use": "tools",
    "function_calling": "tools",
    "vision": "vision",
    "image": "vision",
    "multimodal": "vision",
    "response_format": "json",
    "structured_outputs": "json",
    "json_mode": "json",
    "reasoning": "reasoning",
    "thinking": "reasoning",
}


def told_capabilities(entry: Mapping[str, Any]) -> tuple[Capability, ...]:
    """Return what an entry of a list of models says that the model can do; nothing where it says nothing."""
    words = {*_words(entry.get("capabilities")), *_words(entry.get("supported_parameters"))}
    if isinstance(architecture := entry.get("architecture"), Mapping):
        words.update(_words(cast(Mapping[str, Any], architecture).get("input_modalities")))
    found = {_OURS[word] for word in words if word in _OURS}
    return tuple(one for one in get_args(Capability) if one in found)


def _words(told: object) -> Iterable[str]:
    """Return the words of a list, or those of an object that are true."""
    if isinstance(told, Mapping):
        return [str(name) for name, value in cast(Mapping[object, object], told).items() if value is True]
    return [one for one in cast(list[object], told) if isinstance(one, str)] if isinstance(told, list) else []
