"""The OpenAI-compatible API: chat completions, streamed or not, and models."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from parley_contracts.client_frames import MAX_TEXT_CHARS, StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import CollectionName
from parley_contracts.turn_events import (
    EpochStarted,
    GenerationFinished,
    TextDelta,
    TurnCancelled,
    TurnCompleted,
    TurnFailed,
    known_event,
)
from parley_contracts.turns import MAX_STOPS, MAX_TOKENS, ChatMessage, GenerationParams
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.http_errors import openai_error
from parley_gateway.identity import Principal
from parley_gateway.turn_door import AcceptedTurn

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])

END_S = 30.0
"""How long past a turn's own time its terminal event is waited for."""


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


def _question(request: CompletionRequest) -> str:
    last = request.messages[-1]
    if last.role != "user" or not last.text.strip():
        raise ParleyError(
            ErrorCode.INVALID_REQUEST, "The last message must be the user's, with text.", field="messages"
        )
    if len(last.text) > MAX_TEXT_CHARS:
        raise ParleyError(ErrorCode.TOO_LARGE, f"At most {MAX_TEXT_CHARS} characters.", field="messages")
    return last.text


def _history(request: CompletionRequest) -> tuple[ChatMessage, ...]:
    return tuple(
        ChatMessage.model_validate(
            {"role": "system" if one.role == "developer" else one.role, "content": one.text}
        )
        for one in request.messages[:-1]
    )


class _Frames:
    """A sink that an HTTP answer reads from; bounded by the size of one answer."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def take(self, frame: bytes, _: int) -> None:
        self.queue.put_nowait(frame)


class _Completion:
    """One completion: a turn and what OpenAI's clients are to be told of it."""

    def __init__(self, edge: Edge, principal: Principal, request: CompletionRequest) -> None:
        self._edge = edge
        self._principal = principal
        self._request = request
        self._frames = _Frames()
        self._turn: AcceptedTurn | None = None
        self._created_s = int(time.time())

    async def start(self) -> None:
        frame = StartTurnFrame(
            type="start_turn",
            text=_question(self._request),
            model=self._request.model,
            params=self._request.params(),
            collections=None if self._request.collections is None else tuple(self._request.collections),
            web=self._request.web,
        )
        self._turn = await self._edge.door.start(
            self._principal,
            frame,
            self._frames.take,
            history=_history(self._request),
            is_stored=bool(self._request.store),
        )

    async def events(self) -> AsyncGenerator[Any]:
        """Yield the turn's events up to its terminal one; the turn is watched no longer after that."""
        if self._turn is None:
            raise RuntimeError("the completion is not started")
        limit_s = self._edge.settings.gateway_turn_s + END_S
        try:
            with self._edge.sockets.streaming():
                async with asyncio.timeout(limit_s):
                    while not self._turn.watch.is_finished or not self._frames.queue.empty():
                        yield known_event(await self._frames.queue.get())
        finally:
            await self.release()

    async def release(self) -> None:
        """Watch the turn no longer; repeated calls do nothing."""
        if self._turn is not None:
            await self._edge.door.release(self._turn.watch)

    def _envelope(self, kind: str) -> dict[str, Any]:
        turn_id = self._turn.ref.client_turn_id if self._turn else ""
        return {
            "id": f"chatcmpl-{turn_id}",
            "object": kind,
            "created": self._created_s,
            "model": self._request.model,
        }

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        body = {**self._envelope("chat.completion.chunk"), "choices": [choice], **extra}
        return b"data: " + to_json(body) + b"\n\n"

    async def stream(self) -> AsyncGenerator[bytes]:
        """Yield the answer as server-sent events, ended by `[DONE]`."""
        yield self._chunk({"role": "assistant", "content": ""})
        sent = 0
        is_restarted = False
        async for event in self.events():
            match event:
                case TextDelta(text=text) if not is_restarted:
                    sent += len(text)
                    yield self._chunk({"content": text})
                case EpochStarted(keep_chars=keep_chars) if keep_chars < sent:
                    # What a client of this protocol has received cannot be taken back.
                    is_restarted = True
                case TurnCompleted() if is_restarted:
                    fault = ParleyError(ErrorCode.UPSTREAM_FAILED, "The answer was begun anew; ask again.")
                    yield b"data: " + to_json(openai_error(fault.body())) + b"\n\n"
                case TurnCompleted():
                    yield self._chunk({}, _finish(event.finish_reason), citations=_citations(event))
                    if self._request.stream_options and self._request.stream_options.include_usage:
                        yield self._usage_chunk(event)
                case TurnCancelled():
                    yield self._chunk({}, "stop")
                case TurnFailed():
                    fault = ParleyError(event.code, event.message)
                    yield b"data: " + to_json(openai_error(fault.body())) + b"\n\n"
                case _:
                    pass
        yield b"data: [DONE]\n\n"

    def _usage_chunk(self, event: TurnCompleted) -> bytes:
        body: dict[str, Any] = {
            **self._envelope("chat.completion.chunk"),
            "choices": [],
            "usage": _usage(event),
        }
        return b"data: " + to_json(body) + b"\n\n"

    async def whole(self) -> Response:
        """Return the answer in one piece."""
        text = ""
        async for event in self.events():
            match event:
                case GenerationFinished():
                    text = event.text
                case TurnFailed():
                    raise ParleyError(event.code, event.message, retryable=event.retryable)
                case TurnCompleted() | TurnCancelled():
                    return JSONResponse(self._body(text, event))
                case _:
                    pass
        raise ParleyError(ErrorCode.INTERNAL, "The turn ended without an answer.")

    def _body(self, text: str, event: TurnCompleted | TurnCancelled) -> dict[str, Any]:
        completed = event if isinstance(event, TurnCompleted) else None
        message = {"role": "assistant", "content": text, "refusal": None}
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _finish(completed.finish_reason) if completed else "stop",
        }
        body: dict[str, Any] = {**self._envelope("chat.completion"), "choices": [choice]}
        if completed:
            body |= {"usage": _usage(completed), "citations": _citations(completed)}
        return body


def _finish(reason: str) -> str:
    return "length" if reason == "length" else "stop"


def _usage(event: TurnCompleted) -> dict[str, int]:
    usage = event.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _citations(event: TurnCompleted) -> list[dict[str, Any]]:
    return [citation.model_dump(mode="json", exclude_none=True) for citation in event.citations]


class _AnswerStream(StreamingResponse):
    """Server-sent events; a client that leaves before the first of them leaves nothing open either."""

    def __init__(self, completion: _Completion) -> None:
        super().__init__(
            completion.stream(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        self._completion = completion

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._completion.release()


@router.post("/chat/completions")
async def create_completion(
    request: CompletionRequest, edge: CurrentEdge, principal: CurrentPrincipal
) -> Response:
    """Answer the last user message; `stream` sends the answer as it is written."""
    completion = _Completion(edge, principal, request)
    await completion.start()
    if request.stream:
        return _AnswerStream(completion)
    return await completion.whole()


@router.get("/models")
async def list_models(edge: CurrentEdge, principal: CurrentPrincipal) -> dict[str, Any]:
    """List the models that can be reached now, the default first."""
    models = await edge.models.list()
    return {
        "object": "list",
        "data": [
            {
                "id": model.id,
                "object": "model",
                "created": model.created_at_s,
                "owned_by": model.owned_by,
                "context_tokens": model.context_tokens,
            }
            for model in models
        ],
    }


@router.get("/models/{model_id:path}")
async def read_model(model_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> dict[str, Any]:
    """Return one model."""
    model = await edge.models.choose(model_id)
    return {"id": model.id, "object": "model", "created": model.created_at_s, "owned_by": model.owned_by}
