"""What every kind of server is asked for an answer: the prompt, and limits that hold for all of it."""

from collections.abc import Mapping
from typing import Any

from parley_contracts.llm import GenerateJob

CHARS_A_TOKEN = 4


def chat_messages(job: GenerateJob, written: str) -> list[dict[str, str]]:
    """Return the prompt; what is written is a last message of the assistant, to be gone on from."""
    messages = [{"role": message.role, "content": message.content} for message in job.messages]
    return [*messages, {"role": "assistant", "content": written}] if written else messages


def tokens_left(job: GenerateJob, written: str) -> int | None:
    """Return how long the rest of an answer may be; None is without a limit."""
    most = job.params.max_tokens
    return most if most is None or not written else max(1, most - len(written) // CHARS_A_TOKEN)


def sampling(job: GenerateJob, written: str, *, limit_name: str) -> dict[str, Any]:
    """Return the parameters that are set, the limit on tokens by the name that the server knows it by."""
    params = job.params
    options: Mapping[str, Any] = {
        "temperature": params.temperature,
        "top_p": params.top_p,
        limit_name: tokens_left(job, written),
        "seed": params.seed,
        "stop": list(params.stop) or None,
    }
    return {name: value for name, value in options.items() if value is not None}
