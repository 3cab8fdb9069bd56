"""The messages of OpenAI's request: what was said before the question, the question, and what came of it."""

from dataclasses import dataclass
from typing import Literal

from parley_contracts.client_frames import MAX_TEXT_CHARS
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tools import ToolCall
from parley_contracts.turns import ChatMessage
from pydantic import BaseModel, Field

MAX_ID_CHARS = 256


class ContentPart(BaseModel):
    """A text part of a message; other kinds are refused."""

    type: Literal["text"]
    text: str


class RefusalPart(BaseModel):
    """A part in which the assistant has refused to answer."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


class CalledFunction(BaseModel):
    """Which function was called, and with what."""

    name: str = Field(min_length=1, max_length=64)
    arguments: str


class MessageToolCall(BaseModel):
    """A call that the assistant has written in an earlier answer."""

    id: str = Field(min_length=1, max_length=MAX_ID_CHARS)
    type: Literal["function"] = "function"
    function: CalledFunction


class CompletionMessage(BaseModel):
    """One message of the conversation so far."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart | RefusalPart] | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = Field(default=None, min_length=1, max_length=MAX_ID_CHARS)

    @property
    def text(self) -> str:
        if self.content is None:
            return self.refusal or ""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)

    def plain(self) -> ChatMessage:
        """Return it as models are given it."""
        return ChatMessage(
            role="system" if self.role == "developer" else self.role,
            content=self.text,
            tool_calls=tuple(
                ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
                for call in self.tool_calls or ()
            ),
            tool_call_id=self.tool_call_id,
        )


@dataclass(frozen=True, slots=True)
class Said:
    """A conversation, cut at its last question."""

    history: tuple[ChatMessage, ...]
    question: str
    continuation: tuple[ChatMessage, ...]


def read_messages(messages: list[CompletionMessage]) -> Said:
    """Return what was said.

    Raises:
        ParleyError: `invalid_request` where the last message is neither the user's nor the result of a tool,
            or where calls of tools and their results do not belong together; `too_large`.
    """
    _require_matching(messages)
    at = max((n for n, one in enumerate(messages) if one.role == "user"), default=-1)
    last = messages[-1]
    if at < 0 or last.role not in ("user", "tool") or not messages[at].text.strip():
        message = "The last message must be the user's, with text, or the result of a tool."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="messages")
    question = messages[at].text
    if len(question) > MAX_TEXT_CHARS:
        raise ParleyError(ErrorCode.TOO_LARGE, f"At most {MAX_TEXT_CHARS} characters.", field="messages")
    plain = tuple(one.plain() for one in messages)
    return Said(plain[:at], question, plain[at + 1 :])


def _require_matching(messages: list[CompletionMessage]) -> None:
    """Raise `invalid_request` unless each call is followed by its result, and no result is of nothing."""
    open_calls: dict[str, int] = {}
    for number, one in enumerate(messages):
        if one.role == "tool":
            if open_calls.pop(one.tool_call_id or "", None) is None:
                _refuse(number, "a message of the role tool answers a call in the tool_calls before it")
            if one.content is None:
                _refuse(number, "a message of the role tool has content")
            continue
        if open_calls:
            _refuse(min(open_calls.values()), f"no message of the role tool answers {min(open_calls)}")
        if one.tool_calls and one.role != "assistant":
            _refuse(number, "only the assistant calls tools")
        if one.content is None and one.role != "assistant":
            _refuse(number, "content is missing")
        open_calls = {call.id: number for call in one.tool_calls or ()}
    if open_calls:
        _refuse(min(open_calls.values()), f"no message of the role tool answers {min(open_calls)}")


def _refuse(number: int, message: str) -> None:
    field = f"messages.{number}"
    raise ParleyError(ErrorCode.INVALID_REQUEST, f"{field}: {message}.", field=field)
