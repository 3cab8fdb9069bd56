"""The token counts that a server tells: an answer is not to fail by them."""

from parley_contracts.turns import TokenUsage

MOST_DIGITS = 12


def token_usage(
    prompt: object, completion: object, *, cached: object = 0, reasoning: object = 0
) -> TokenUsage:
    """Return the usage that counts tell, whatever a server has put in their places."""
    return TokenUsage(
        prompt_tokens=count(prompt),
        completion_tokens=count(completion),
        cached_tokens=count(cached),
        reasoning_tokens=count(reasoning),
    )


def count(value: object) -> int:
    """Return a count, also one that is told in digits; 0 for what is none."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS else 0
    return (
        min(max(0, value), 10**MOST_DIGITS) if isinstance(value, int) and not isinstance(value, bool) else 0
    )
