"""The messages of OpenAI's request: what was said before the question, the question, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from parley_contracts.attachments import MAX_ATTACHMENTS
from parley_contracts.client_frames import MAX_TEXT_CHARS
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.tools import ToolCall
from parley_contracts.turns import ChatMessage
from pydantic import BaseModel, Field

from parley_gateway.content_parts import MAX_PARTS, ContentPart, FilePart, ImagePart, Parts, RefusalPart
from parley_gateway.inline_files import InlineFile, InlineFiles

MAX_ID_CHARS = 256


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
    content: str | Parts | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: Annotated[list[MessageToolCall], Field(max_length=MAX_PARTS)] | None = None
    tool_call_id: str | None = Field(default=None, min_length=1, max_length=MAX_ID_CHARS)

    @property
    def text(self) -> str:
        if self.content is None:
            return self.refusal or ""
        if isinstance(self.content, str):
            return self.content
        said = (part for part in self.content if isinstance(part, ContentPart | RefusalPart))
        return "\n".join(part.text for part in said)

    def plain(self, number: int, files: InlineFiles) -> ChatMessage:
        """Return it as models are given it; files that stand in it are noted."""
        return ChatMessage(
            role="system" if self.role == "developer" else self.role,
            content=self.text,
            tool_calls=tuple(
                ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
                for call in self.tool_calls or ()
            ),
            tool_call_id=self.tool_call_id,
            attachments=self._attachments(number, files),
        )

    def _attachments(self, number: int, files: InlineFiles) -> tuple[str, ...]:
        parts = self.content if isinstance(self.content, list) else ()
        sent = [(place, one) for place, one in enumerate(parts) if isinstance(one, ImagePart | FilePart)]
        if sent and self.role != "user":
            _refuse(number, "only the user sends images and files")
        if len(sent) > MAX_ATTACHMENTS:
            _refuse(number, f"at most {MAX_ATTACHMENTS} images and files")
        found = (one.attachment(files, f"messages.{number}.content.{place}") for place, one in sent)
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Said:
    """A conversation, cut at its last question; `files` are those that stood in it, by their ids."""

    history: tuple[ChatMessage, ...]
    question: str
    attachments: tuple[str, ...]
    continuation: tuple[ChatMessage, ...]
    files: Mapping[str, InlineFile]


def read_messages(messages: list[CompletionMessage], files: InlineFiles) -> Said:
    """Return what was said.

    Raises:
        ParleyError: `invalid_request` where the last message is neither the user's nor the result of a tool,
            or where calls of tools and their results do not belong together; `too_large`; as `InlineFiles`.
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
    plain = tuple(one.plain(number, files) for number, one in enumerate(messages))
    return Said(plain[:at], question, plain[at].attachments, plain[at + 1 :], files.found)


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
