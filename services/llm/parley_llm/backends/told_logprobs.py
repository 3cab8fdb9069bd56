"""What a server tells of the likelihood of tokens, as far as it has a shape that can be passed on."""

from typing import Any, TypeGuard, cast

from parley_llm.language_model import Logprobs


def told_logprobs(entries: object) -> Logprobs | None:
    """Return the entries, one a token; None where there is no list of them."""
    if not isinstance(entries, list):
        return None
    return tuple(one for one in cast(list[object], entries) if _is_entry(one))


def _is_entry(entry: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(entry, dict)
