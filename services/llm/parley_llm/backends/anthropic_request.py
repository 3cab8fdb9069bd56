"""How Anthropic's Messages API is asked for an answer: limits, tools, thinking and the answer's shape."""

from dataclasses import dataclass
from typing import Any

from parley_contracts.llm import GenerateJob
from parley_contracts.tools import ToolSpec
from parley_contracts.turns import GenerationParams
from pydantic_core import to_json

from parley_llm.backends.anthropic_prompt import system_blocks, turn_messages

ANSWER_IN_JSON = "Answer with one JSON object and nothing else."
BY_SCHEMA = " It follows this JSON schema: "
THINKING_TOKENS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768}
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}

_NO_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class ClaudeTraits:
    """What the list of models tells of one. Where it tells nothing, nothing special is asked for.

    `answer_tokens` is the longest answer that may be asked for.
    """

    context_tokens: int | None = None
    answer_tokens: int | None = None
    has_effort: bool = False
    thinks_adaptively: bool = False
    thinks_by_budget: bool = False
    can_stop_thinking: bool = False
    follows_schemas: bool = False
    sees: bool = False
    thinks: bool = False


def message_body(
    model: str, job: GenerateJob, traits: ClaudeTraits, *, usual_tokens: int, takes_sampling: bool
) -> dict[str, Any]:
    """Return the body of `POST /v1/messages`."""
    params = job.params
    most = traits.answer_tokens or usual_tokens
    thinking = _thinking(job, traits)
    # The limit holds for thoughts and answer together.
    limit = (params.max_tokens or min(usual_tokens, most)) + thinking.get("budget_tokens", 0)
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": min(limit, most) if traits.answer_tokens else limit,
        "stream": True,
        "messages": turn_messages(job.messages),
    }
    optional: dict[str, Any] = {
        "system": system_blocks(job.messages, more=_told_format(params, traits)),
        "stop_sequences": [stop for stop in params.stop if stop.strip()],
        "thinking": thinking,
        "output_config": _output(params, traits),
        "tools": [_tool(tool) for tool in job.tools],
        "tool_choice": _tool_choice(params) if job.tools else None,
    }
    body |= {name: value for name, value in optional.items() if value}
    is_sampled = takes_sampling and thinking.get("type") not in {"adaptive", "enabled"}
    return body | (_sampling(params) if is_sampled else {})


def _sampling(params: GenerationParams) -> dict[str, float]:
    """Return one of both: some models refuse them together. The temperature ends at 1 there."""
    if params.temperature is not None:
        return {"temperature": min(params.temperature, 1.0)}
    return {} if params.top_p is None else {"top_p": params.top_p}


def _thinking(job: GenerateJob, traits: ClaudeTraits) -> dict[str, Any]:
    """Return how much a model is to think; nothing leaves it to the model.

    In the middle of its tools a model goes on without: its thoughts are signed, and are not kept.
    """
    effort = job.params.reasoning_effort
    is_forced = bool(job.tools) and job.params.tool_choice not in {None, "auto", "none"}
    if effort is None or is_forced or job.messages[-1].role == "tool":
        return {}
    if effort == "none":
        return {"type": "disabled"} if traits.can_stop_thinking else {}
    if traits.thinks_adaptively:
        return {"type": "adaptive", "display": "summarized"}
    if traits.thinks_by_budget:
        most = THINKING_TOKENS[effort]
        # There is to be room for the answer as well.
        budget = most if traits.answer_tokens is None else min(most, traits.answer_tokens // 2)
        return {"type": "enabled", "budget_tokens": budget}
    return {}


def _output(params: GenerationParams, traits: ClaudeTraits) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if traits.has_effort and (effort := EFFORTS.get(params.reasoning_effort or "")):
        found["effort"] = effort
    if (schema := _sent_schema(params, traits)) is not None:
        found["format"] = {"type": "json_schema", "schema": schema}
    return found


def _sent_schema(params: GenerationParams, traits: ClaudeTraits) -> dict[str, Any] | None:
    """Return the schema that the API is told; None where there is none, or the model follows none."""
    wanted = params.response_format
    if not traits.follows_schemas or wanted is None or wanted.json_schema is None:
        return None
    return wanted.json_schema.definition or None


def _told_format(params: GenerationParams, traits: ClaudeTraits) -> str:
    """Return in words what shape an answer is to have, where the API cannot be told."""
    wanted = params.response_format
    if wanted is None or _sent_schema(params, traits) is not None:
        return ""
    schema = wanted.json_schema.definition if wanted.json_schema is not None else None
    return ANSWER_IN_JSON + (BY_SCHEMA + to_json(schema).decode() if schema else "")


def _tool(tool: ToolSpec) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name, "input_schema": tool.parameters or _NO_SCHEMA}
    if tool.description:
        told["description"] = tool.description
    return told | ({"strict": True} if tool.is_strict else {})


def _tool_choice(params: GenerationParams) -> dict[str, Any] | None:
    choice = params.tool_choice or "auto"
    if choice == "none":
        return {"type": "none"}
    if choice == "required":
        found: dict[str, Any] = {"type": "any"}
    elif choice == "auto":
        if params.tool_choice is None and params.parallel_tool_calls is not False:
            return None
        found = {"type": "auto"}
    else:
        found = {"type": "tool", "name": choice}
    return found | ({"disable_parallel_tool_use": True} if params.parallel_tool_calls is False else {})
