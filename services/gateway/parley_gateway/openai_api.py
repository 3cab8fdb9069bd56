"""The OpenAI-compatible API: chat completions and responses, streamed or not, and models."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import ModelInfo
from starlette.responses import JSONResponse, Response

from parley_gateway.answer_reader import AnswerReader
from parley_gateway.bot_models import BotModels, is_bot
from parley_gateway.completion import Completion
from parley_gateway.completion_request import CompletionRequest
from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.event_stream import EventStream
from parley_gateway.inline_files import InlineFiles
from parley_gateway.principal import Principal
from parley_gateway.response_answer import ResponseAnswer
from parley_gateway.responses_request import ResponsesRequest
from parley_gateway.turn_door import AcceptedTurn

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])

KEY_HEADER = "Idempotency-Key"
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=KEY_HEADER,
        min_length=1,
        max_length=255,
        description="The same key with the same request is the same answer, for a day: it is written once.",
    ),
]


@router.post("/chat/completions")
async def create_completion(
    request: CompletionRequest,
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Answer the last user message; `stream` sends the answer as it is written."""
    reader = _reader(edge, principal)
    turn = await _start(edge, principal, request, reader, idempotency_key)
    reader.follow(turn)
    return await _answer(edge, reader, Completion(request, turn, reader), is_streamed=bool(request.stream))


@router.post("/responses")
async def create_response(
    request: ResponsesRequest,
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Answer the input; `stream` sends the response as it is written. No response is kept by its id."""
    # The response repeats it: what cannot be written is refused before a model is asked.
    request.model_dump_json(exclude={"input"})
    reader = _reader(edge, principal)
    turn = await _start(edge, principal, request.completion(), reader, idempotency_key)
    reader.follow(turn)
    return await _answer(
        edge, reader, ResponseAnswer(request, turn, reader), is_streamed=bool(request.stream)
    )


def _reader(edge: Edge, principal: Principal) -> AnswerReader:
    return AnswerReader(
        edge.door,
        principal,
        max_bytes=edge.settings.gateway_answer_bytes,
        turn_s=edge.settings.gateway_turn_s,
    )


async def _answer(
    edge: Edge, reader: AnswerReader, answer: Completion | ResponseAnswer, *, is_streamed: bool
) -> Response:
    if is_streamed:
        return EventStream(answer.stream(), sockets=edge.sockets, reader=reader)
    with edge.sockets.streaming():
        return JSONResponse(await answer.whole())


async def _start(
    edge: Edge,
    principal: Principal,
    request: CompletionRequest,
    reader: AnswerReader,
    idempotency_key: str | None,
) -> AcceptedTurn:
    files = InlineFiles(principal.owner_id, max_bytes=edge.settings.gateway_max_attachment_bytes)
    # Large images take long to decode.
    said = await asyncio.to_thread(request.said, files)
    try:
        return await edge.bot_turns.start(
            principal,
            request.start_frame(idempotency_key, said),
            reader.take,
            history=said.history,
            caller=request.caller(said),
            is_stored=bool(request.store),
        )
    except ParleyError as error:
        if error.code is ErrorCode.NOT_FOUND and error.field == "bot_id":
            message = f"There is no model {request.model!r}."
            raise ParleyError(ErrorCode.MODEL_NOT_FOUND, message, field="model") from None
        if error.code is not ErrorCode.CONFLICT:
            raise
        message = f"That {KEY_HEADER} was used for another request."
        raise ParleyError(ErrorCode.CONFLICT, message, field=KEY_HEADER) from None


@router.get("/models")
async def list_models(edge: CurrentEdge, principal: CurrentPrincipal) -> dict[str, Any]:
    """List the models that can be reached now, the default first, and then the bots that you may ask."""
    models, bots = await asyncio.gather(edge.models.list(), BotModels(edge.bus).of(principal))
    listed = [_described(model) for model in models]
    return {"object": "list", "data": [*listed, *bots]}


@router.get("/models/{model_id:path}")
async def read_model(model_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> dict[str, Any]:
    """Return one model, or one bot that you may ask."""
    if is_bot(model_id):
        return await BotModels(edge.bus).read(principal, model_id)
    model = await edge.models.choose(model_id)
    return _described(model)


def _described(model: ModelInfo) -> dict[str, Any]:
    """Return a model as OpenAI describes one, with what Parley knows of it apart."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created_at_s,
        "owned_by": model.owned_by,
        "parley": {
            "context_tokens": model.context_tokens,
            "capabilities": model.capabilities,
            "price": None if model.price is None else model.price.model_dump(),
        },
    }
