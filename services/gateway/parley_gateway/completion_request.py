"""What is understood of OpenAI's request for a completion, and the turn that it asks for."""

import hashlib
from typing import Annotated, Any, Literal

from parley_contracts.client_frames import MAX_TEXT_CHARS, StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import CollectionName
from parley_contracts.turns import MAX_STOPS, MAX_TOKENS, ChatMessage, GenerationParams
from pydantic import BaseModel, ConfigDict, Field

BOT_PREFIX = "bot:"
"""What the id of a model begins with that is a bot."""
MAX_BOT_ID_CHARS = 64


class ContentPart(BaseModel):
    """A text part of a message; other kinds are refused."""

    type: Literal["text"]
    text: str


class CompletionMessage(BaseModel):
    """One message of the conversation so far."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart]

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class CompletionRequest(BaseModel):
    """What is understood of OpenAI's request; fields that would change the answer's shape are refused."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[CompletionMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=MAX_STOPS)] | None = None
    n: Literal[1] | None = None
    tools: Annotated[list[Any] | None, Field(max_length=0)] = None
    store: bool | None = Field(default=None, description="True keeps the turn as a conversation.")
    collections: list[CollectionName] | None = Field(
        default=None, description="Ours: collections to search; absent is all, empty is none."
    )
    web: bool = Field(default=False, description="Ours: read the pages whose addresses the text names.")

    def params(self) -> GenerationParams:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return GenerationParams(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            seed=self.seed,
            stop=tuple(stops),
        )

    def question(self) -> str:
        """Return the last message's text; ParleyError when that is no question of the user's."""
        last = self.messages[-1]
        if last.role != "user" or not last.text.strip():
            raise ParleyError(
                ErrorCode.INVALID_REQUEST, "The last message must be the user's, with text.", field="messages"
            )
        if len(last.text) > MAX_TEXT_CHARS:
            raise ParleyError(ErrorCode.TOO_LARGE, f"At most {MAX_TEXT_CHARS} characters.", field="messages")
        return last.text

    def history(self) -> tuple[ChatMessage, ...]:
        """Return what was said before the question."""
        return tuple(
            ChatMessage.model_validate(
                {"role": "system" if one.role == "developer" else one.role, "content": one.text}
            )
            for one in self.messages[:-1]
        )

    def start_frame(self, idempotency_key: str | None) -> StartTurnFrame:
        """Return the turn that is asked for, named after the client's key if there is one."""
        bot_id = self.model.removeprefix(BOT_PREFIX) if self.model.startswith(BOT_PREFIX) else None
        if bot_id is not None and not 0 < len(bot_id) <= MAX_BOT_ID_CHARS:
            raise ParleyError(ErrorCode.MODEL_NOT_FOUND, "There is no such bot.", field="model")
        return StartTurnFrame(
            type="start_turn",
            turn_id=None if idempotency_key is None else turn_id_of_key(idempotency_key),
            bot_id=bot_id,
            text=self.question(),
            model=self.model if bot_id is None else None,
            params=self.params(),
            collections=None if self.collections is None else tuple(self.collections),
            web=self.web,
        )


def turn_id_of_key(idempotency_key: str) -> str:
    """Return the client's turn id for a key; any text will do for one, and no other key has that id."""
    return f"key-{hashlib.sha256(idempotency_key.encode('utf-8', 'surrogatepass')).hexdigest()}"
