"""What is understood of OpenAI's request for a completion, and the turn that it asks for."""

import hashlib
from typing import Annotated, Any, Literal

from parley_contracts.client_frames import MAX_NAMED, ModelId, StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import CollectionName
from parley_contracts.tools import MAX_TOOLS, ToolName
from parley_contracts.turns import (
    MAX_MODELS,
    MAX_STOPS,
    MAX_TOKENS,
    MAX_TOP_LOGPROBS,
    GenerationParams,
    Penalty,
    ReasoningEffort,
)
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.caller_side import CallerSide
from parley_gateway.completion_messages import CompletionMessage, Said, read_messages
from parley_gateway.completion_tools import Choice, CompletionTool, WantedFormat, tool_choice, tool_specs
from parley_gateway.content_parts import MAX_MESSAGES, FirstFault, Metadata
from parley_gateway.inline_files import InlineFiles

BOT_PREFIX = "bot:"
"""What the id of a model begins with that is a bot."""
MAX_BOT_ID_CHARS = 64


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class CompletionRequest(BaseModel):
    """What is understood of OpenAI's request. As OpenAI does, what is not known is refused.

    Of what is known there, what would change the answer and cannot be had is refused as well; what only
    tells OpenAI of the caller, or how to bill and cache, has no effect.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    messages: Annotated[list[CompletionMessage], FirstFault()] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=MAX_STOPS)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    reasoning_effort: ReasoningEffort | None = None
    response_format: WantedFormat | None = None
    tools: Annotated[list[CompletionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    n: Literal[1] | None = None
    modalities: list[Literal["text"]] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    functions: Annotated[list[Any], Field(max_length=0)] | None = Field(
        default=None, description="Superseded by `tools`."
    )
    function_call: Literal["none", "auto"] | None = Field(
        default=None, description="Superseded by `tool_choice`."
    )
    store: bool | None = Field(default=None, description="True keeps the turn as a conversation.")
    metadata: Metadata | None = Field(default=None, description="Has no effect.")
    user: str | None = Field(default=None, description="Has no effect.")
    safety_identifier: str | None = Field(default=None, description="Has no effect.")
    service_tier: str | None = Field(default=None, description="Has no effect.")
    prompt_cache_key: str | None = Field(default=None, description="Has no effect.")
    prompt_cache_retention: str | None = Field(default=None, description="Has no effect.")
    verbosity: Literal["low", "medium", "high"] | None = Field(default=None, description="Has no effect.")
    models: list[ModelId] = Field(
        default=[],
        max_length=MAX_MODELS,
        description="Ours: models that are asked in this order where `model` does not answer.",
    )
    cache: bool = Field(
        default=False,
        description="Ours: the answer may be one of yours from before; with `temperature` 0 or a `seed`.",
    )
    collections: list[CollectionName] | None = Field(
        default=None,
        max_length=MAX_NAMED,
        description="Ours: collections to search; absent is all, empty is none.",
    )
    web: bool = Field(default=False, description="Ours: read the pages whose addresses the text names.")
    parley_tools: list[ToolName] = Field(
        default=[], max_length=MAX_NAMED, description="Ours: names of tools that Parley runs for the model."
    )

    def params(self) -> GenerationParams:
        """Return how to write the answer; ParleyError `invalid_request` where that contradicts itself."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if self.top_logprobs is not None and not self.logprobs:
            message = "top_logprobs: needs logprobs to be true."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="top_logprobs")
        return GenerationParams(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            seed=self.seed,
            stop=tuple(stops),
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            reasoning_effort=self.reasoning_effort,
            response_format=self.response_format and self.response_format.plain(),
            tool_choice=tool_choice(self.tool_choice, tool_specs(self.tools or [])),
            parallel_tool_calls=self.parallel_tool_calls,
            logprobs=self.logprobs,
            top_logprobs=self.top_logprobs,
        )

    def said(self, files: InlineFiles) -> Said:
        """Return what was said; the files that stand in it are noted."""
        return read_messages(self.messages, files)

    def caller(self, said: Said) -> CallerSide:
        """Return the caller's tools, what came of them since the question, and his files."""
        return CallerSide(tool_specs(self.tools or []), said.continuation, said.files)

    def start_frame(self, idempotency_key: str | None, said: Said) -> StartTurnFrame:
        """Return the turn that is asked for, named after the client's key if there is one."""
        bot_id = self.model.removeprefix(BOT_PREFIX) if self.model.startswith(BOT_PREFIX) else None
        if bot_id is not None and not 0 < len(bot_id) <= MAX_BOT_ID_CHARS:
            raise ParleyError(ErrorCode.MODEL_NOT_FOUND, "There is no such bot.", field="model")
        return StartTurnFrame(
            type="start_turn",
            turn_id=None if idempotency_key is None else turn_id_of_key(idempotency_key),
            bot_id=bot_id,
            text=said.question,
            attachments=said.attachments,
            model=self.model if bot_id is None else None,
            models=tuple(self.models),
            cache=self.cache,
            params=self.params(),
            collections=None if self.collections is None else tuple(self.collections),
            web=self.web,
            tools=tuple(self.parley_tools),
        )


def turn_id_of_key(idempotency_key: str) -> str:
    """Return the client's turn id for a key; any text will do for one, and no other key has that id."""
    return f"key-{hashlib.sha256(idempotency_key.encode('utf-8', 'surrogatepass')).hexdigest()}"
