"""What an Ollama server is asked for, where its words are not those of OpenAI."""

from collections.abc import Sequence
from typing import Any, cast

from parley_contracts.llm import GenerateJob
from parley_contracts.response_format import ResponseFormat
from parley_contracts.tools import ToolCall
from parley_contracts.turns import ChatMessage
from pydantic_core import from_json

from parley_llm.backends.chat_request import named_tool, set_only, tool_specs
from parley_llm.shown_messages import images_of

_THINKING: dict[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "high"}


def ollama_messages(job: GenerateJob, written: str) -> list[dict[str, Any]]:
    """Return the prompt; what is written is a last message of the assistant, which Ollama goes on from."""
    messages = [_message(one, job.messages) for one in job.messages]
    return [*messages, {"role": "assistant", "content": written}] if written else messages


def _message(message: ChatMessage, said: Sequence[ChatMessage]) -> dict[str, Any]:
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if images := images_of(message):
        found["images"] = [one.base64 for one in images]
    if message.tool_calls:
        found["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.role == "tool":
        # Ollama tells results apart by the tool, in their order.
        calls = (call for one in said for call in one.tool_calls)
        found["tool_name"] = next((call.name for call in calls if call.id == message.tool_call_id), "")
    return found


def _call(call: ToolCall) -> dict[str, Any]:
    return {"function": {"name": call.name, "arguments": _arguments(call.arguments)}}


def _arguments(text: str) -> dict[str, Any]:
    """Return arguments as the object that Ollama takes; what is none is told under a name of its own."""
    try:
        found = from_json(text or "{}")
    except ValueError:
        found = None
    return cast(dict[str, Any], found) if isinstance(found, dict) else {"arguments": text}


def asked_for(job: GenerateJob, *, can_think: bool) -> dict[str, Any]:
    """Return what is asked for beyond text: tools, a shape, thinking, the likelihood of tokens.

    Ollama knows no choice of tools: one that is named is the only one it is told of.
    """
    params, name = job.params, named_tool(job)
    effort = params.reasoning_effort
    tools = [tool for tool in tool_specs(job) if name in (None, tool["function"]["name"])]
    return set_only(
        {
            "tools": None if params.tool_choice == "none" else tools or None,
            "format": _format(params.response_format),
            "think": _THINKING.get(effort, effort) if effort and can_think else None,
            "logprobs": params.logprobs,
            "top_logprobs": params.top_logprobs,
        }
    )


def _format(shape: ResponseFormat | None) -> Any:
    if shape is None:
        return None
    schema = shape.json_schema and shape.json_schema.definition
    return schema or "json"
