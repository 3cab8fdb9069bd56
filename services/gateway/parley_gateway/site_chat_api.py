"""The chat of sites: visitors of a page ask its bot, each in a session of his own."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from parley_contracts.bots import MAX_QUESTION_CHARS
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.replies import Done
from parley_messaging.acting import act_for
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_gateway.answer_reader import AnswerReader
from parley_gateway.completion_request import turn_id_of_key
from parley_gateway.edge import CurrentEdge, Edge
from parley_gateway.event_stream import EventStream
from parley_gateway.openai_api import IdempotencyKey
from parley_gateway.site_answer import SiteAnswer, for_visitors
from parley_gateway.site_door import SITE, SITE_PATHS, VISITOR_HEADER, Site
from parley_gateway.sites import acting_as, principal_of
from parley_gateway.visitor_tokens import MAX_CHARS, Visitor

router = APIRouter(prefix=SITE_PATHS.rstrip("/"), tags=["sites"])

_TELLING = frozenset({ErrorCode.TOO_LARGE, ErrorCode.INVALID_REQUEST, ErrorCode.CONFLICT})
"""Refusals that are about what the visitor has sent."""


def _site(request: Request) -> Site:
    site = request.scope.get(SITE)
    if not isinstance(site, Site):
        raise ParleyError(ErrorCode.FORBIDDEN, "The bot is not asked from this page.", field="origin")
    return site


CurrentSite = Annotated[Site, Depends(_site)]
VisitorToken = Annotated[
    str | None,
    Header(
        alias=VISITOR_HEADER,
        max_length=MAX_CHARS,
        description="Of an earlier answer: goes on with its session. Without it a new session begins.",
    ),
]


class Question(BaseModel):
    """What a visitor asks."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=MAX_QUESTION_CHARS)
    stream: bool = Field(default=False, description="Server-sent events, as it is written.")


@router.post("/{bot_id}")
async def ask(
    bot_id: str,
    *,
    body: Question,
    edge: CurrentEdge,
    site: CurrentSite,
    token: VisitorToken = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Ask a bot from a page that it allows; the answer names the session, and the token to go on with it."""
    visitor = edge.sites.visitor(site, token)
    act_for(acting_as(visitor))
    reader = AnswerReader(
        edge.door,
        principal_of(visitor),
        max_bytes=edge.settings.gateway_answer_bytes,
        turn_s=edge.settings.gateway_turn_s,
    )
    session = await _start(edge, site, visitor, body, reader=reader, idempotency_key=idempotency_key)
    answer = SiteAnswer(reader, session)
    headers = {VISITOR_HEADER: session["visitor_token"]}
    if body.stream:
        return EventStream(answer.stream(), sockets=edge.sockets, reader=reader, headers=headers)
    with edge.sockets.streaming():
        return JSONResponse(await answer.whole(), headers=headers)


async def _start(
    edge: Edge,
    site: Site,
    visitor: Visitor,
    body: Question,
    *,
    reader: AnswerReader,
    idempotency_key: str | None,
) -> dict[str, Any]:
    turn_id = None if idempotency_key is None else turn_id_of_key(idempotency_key)
    try:
        turn, known = await edge.sites.ask(site.bot, visitor, body.text, reader.take, turn_id=turn_id)
    except ParleyError as error:
        raise error if error.code in _TELLING else for_visitors(error) from None
    reader.follow(turn)
    return {
        "session": known.session,
        "visitor_token": edge.sites.token_of(site, known),
        "turn_id": turn.ref.client_turn_id,
    }


@router.delete("/{bot_id}/session/{session}")
async def forget(
    bot_id: str, session: str, edge: CurrentEdge, site: CurrentSite, token: VisitorToken = None
) -> Done:
    """Remove your session with all that was said in it; its token goes on with nothing any more."""
    if token is None:
        raise ParleyError(ErrorCode.UNAUTHENTICATED, f"Send the session's token as {VISITOR_HEADER}.")
    visitor = edge.sites.visitor(site, token)
    act_for(acting_as(visitor))
    await edge.sites.forget(visitor, session)
    return Done()
