"""What is understood of OpenAI's request for a response, as the completion that asks for the same.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from typing import Annotated, Any, Literal

from parley_contracts.client_frames import MAX_NAMED
from parley_contracts.rag import CollectionName
from parley_contracts.tools import MAX_TOOLS, ToolName
from parley_contracts.turns import MAX_TOKENS, MAX_TOP_LOGPROBS, ReasoningEffort
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.completion_messages import MAX_ID_CHARS
from parley_gateway.completion_request import CompletionRequest
from parley_gateway.content_parts import MAX_FILE_CHARS, MAX_MESSAGES, MAX_PARTS, FirstFault, Metadata

TextPartType = Literal["input_text", "output_text", "text"]


class TextPart(BaseModel):
    """A part of a message."""

    type: TextPartType
    text: str

    def plain(self) -> dict[str, Any]:
        return {"type": "text", "text": self.text}


class ImageInput(BaseModel):
    """An image: `image_url` is a data URL, `file_id` the id of an attachment."""

    type: Literal["input_image"]
    image_url: str | None = Field(default=None, max_length=MAX_FILE_CHARS)
    file_id: str | None = Field(default=None, max_length=128)
    detail: Literal["auto", "low", "high"] | None = Field(default=None, description="Has no effect.")

    def plain(self) -> dict[str, Any]:
        if self.image_url is not None and self.file_id is None:
            return {"type": "image_url", "image_url": {"url": self.image_url}}
        return {"type": "file", "file": {"file_id": self.file_id, "file_data": self.image_url}}


class FileInput(BaseModel):
    """A file: `file_data` is base64, `file_id` the id of an attachment. Addresses are refused."""

    type: Literal["input_file"]
    file_data: str | None = Field(default=None, max_length=MAX_FILE_CHARS)
    file_id: str | None = Field(default=None, max_length=128)
    filename: str | None = Field(default=None, max_length=1000)

    def plain(self) -> dict[str, Any]:
        return {"type": "file", "file": self.model_dump(exclude={"type"})}


def _text(content: str | list[TextPart]) -> str:
    return content if isinstance(content, str) else "\n".join(part.text for part in content)


def _content(content: str | list[TextPart | ImageInput | FileInput]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    texts = [part for part in content if isinstance(part, TextPart)]
    return _text(texts) if len(texts) == len(content) else [part.plain() for part in content]


class InputMessage(BaseModel):
    """A message of the conversation so far."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart | ImageInput | FileInput], Field(max_length=MAX_PARTS)]

    def plain(self) -> dict[str, Any]:
        return {"role": self.role, "content": _content(self.content)}


class InputCall(BaseModel):
    """A call that the model has written in an earlier response."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1, max_length=MAX_ID_CHARS)
    name: str = Field(min_length=1, max_length=64)
    arguments: str

    def plain(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.call_id, "type": "function", "function": function}


class InputResult(BaseModel):
    """What came of a call."""

    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1, max_length=MAX_ID_CHARS)
    output: str | Annotated[list[TextPart], Field(max_length=MAX_PARTS)]

    def plain(self) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": self.call_id, "content": _text(self.output)}


class InputReasoning(BaseModel):
    """What a model has thought in an earlier response; it is not given back."""

    type: Literal["reasoning"]


InputItem = InputMessage | InputCall | InputResult | InputReasoning


class ResponseTool(BaseModel):
    """A function of the caller's; other tools are refused."""

    type: Literal["function"]
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseToolChoice(BaseModel):
    """The one function that is to be called."""

    type: Literal["function"]
    name: ToolName


class TextFormat(BaseModel):
    """The shape of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    name: ToolName | None = None
    description: str | None = None
    definition: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None

    def plain(self) -> dict[str, Any]:
        if self.type != "json_schema":
            return {"type": self.type}
        schema = {"name": self.name or "", "description": self.description, "strict": self.strict}
        return {"type": self.type, "json_schema": {**schema, "schema": self.definition}}


class TextOptions(BaseModel):
    """How text is to be written."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(BaseModel):
    """How long a model is to think."""

    effort: ReasoningEffort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponsesRequest(BaseModel):
    """A request for a response. What is not known is refused, and so is what would need stored responses."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: str | Annotated[list[InputItem], Field(min_length=1, max_length=MAX_MESSAGES), FirstFault()]
    instructions: str | None = None
    stream: bool | None = False
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_output_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    tools: Annotated[list[ResponseTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ResponseToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = None
    store: bool | None = Field(
        default=None, description="True keeps the turn as a conversation; no response is kept by its id."
    )
    background: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None
    metadata: Metadata | None = None
    user: str | None = Field(default=None, description="Has no effect.")
    safety_identifier: str | None = Field(default=None, description="Has no effect.")
    service_tier: str | None = Field(default=None, description="Has no effect.")
    prompt_cache_key: str | None = Field(default=None, description="Has no effect.")
    prompt_cache_retention: str | None = Field(default=None, description="Has no effect.")
    collections: list[CollectionName] | None = Field(
        default=None,
        max_length=MAX_NAMED,
        description="Ours: collections to search; absent is all, empty is none.",
    )
    web: bool = Field(default=False, description="Ours: read the pages whose addresses the text names.")

    @property
    def tells_logprobs(self) -> bool:
        return "message.output_text.logprobs" in (self.include or ())

    def completion(self) -> CompletionRequest:
        """Return the completion that asks for the same; its faults name the fields of a completion."""
        text, reasoning = self.text, self.reasoning
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": self._messages(),
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_completion_tokens": self.max_output_tokens,
            "tools": [_tool(tool) for tool in self.tools or ()] or None,
            "tool_choice": _choice(self.tool_choice) if self.tools else None,
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": text and text.format and text.format.plain(),
            "reasoning_effort": reasoning and reasoning.effort,
            "logprobs": self.tells_logprobs or None,
            "top_logprobs": self.top_logprobs if self.tells_logprobs else None,
            "store": self.store,
            "collections": self.collections,
            "web": self.web,
        }
        return CompletionRequest.model_validate(asked)

    def _messages(self) -> list[dict[str, Any]]:
        """Return the input as messages: calls in a row are one, with the assistant's words before them."""
        told: list[dict[str, Any]] = []
        if self.instructions:
            told.append({"role": "system", "content": self.instructions})
        if isinstance(self.input, str):
            return [*told, {"role": "user", "content": self.input}]
        for item in self.input:
            if isinstance(item, InputReasoning):
                continue
            if not isinstance(item, InputCall):
                told.append(item.plain())
            elif told and told[-1]["role"] == "assistant":
                told[-1].setdefault("tool_calls", []).append(item.plain())
            else:
                told.append({"role": "assistant", "content": None, "tool_calls": [item.plain()]})
        return told


def _tool(tool: ResponseTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude={"type"})}


def _choice(choice: str | ResponseToolChoice | None) -> Any:
    if isinstance(choice, ResponseToolChoice):
        return {"type": "function", "function": {"name": choice.name}}
    return choice
