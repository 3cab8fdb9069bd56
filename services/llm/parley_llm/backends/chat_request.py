"""What every kind of server is asked for an answer: prompt, tools, and limits that hold for all of it."""

from collections.abc import Mapping
from typing import Any

from parley_contracts.llm import GenerateJob
from parley_contracts.tools import GENERAL_CHOICES, ToolCall, ToolSpec
from parley_contracts.turns import ChatMessage

from parley_llm.shown_messages import images_of

CHARS_A_TOKEN = 4


def chat_messages(job: GenerateJob, written: str) -> list[dict[str, Any]]:
    """Return the prompt in OpenAI's words; what is written is its last message, to be gone on from."""
    messages = [_message(message) for message in job.messages]
    return [*messages, {"role": "assistant", "content": written}] if written else messages


def _message(message: ChatMessage) -> dict[str, Any]:
    found: dict[str, Any] = {"role": message.role, "content": _content(message)}
    if message.tool_calls:
        found["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.role == "tool":
        found["tool_call_id"] = message.tool_call_id
    return found


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    """Return what is said, and what is shown with it."""
    images = [{"type": "image_url", "image_url": {"url": one.data_url}} for one in images_of(message)]
    return [{"type": "text", "text": message.content}, *images] if images else message.content


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def tool_specs(job: GenerateJob) -> list[dict[str, Any]]:
    """Return what the model may call, as OpenAI and Ollama are told of it."""
    return [{"type": "function", "function": _function(tool)} for tool in job.tools]


def _function(tool: ToolSpec) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.description:
        found["description"] = tool.description
    found["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return found | ({"strict": True} if tool.is_strict else {})


def named_tool(job: GenerateJob) -> str | None:
    """Return the one tool that is to be called; None where the choice is a general one."""
    choice = job.params.tool_choice
    return None if choice in GENERAL_CHOICES else choice


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
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
    }
    return set_only(options)


def set_only(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are set."""
    return {name: value for name, value in options.items() if value is not None}
