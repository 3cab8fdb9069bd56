"""Verdicts on citations, and how well retrieval does in a collection."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from parley_contracts import subjects
from parley_contracts.client_frames import ClientTurnId
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.feedback import (
    MAX_DAYS,
    CitationFeedback,
    DeleteFeedback,
    FeedbackList,
    ListFeedback,
    Note,
    Quality,
    RateCitation,
    ReadQuality,
    TurnId,
    Verdict,
)
from parley_contracts.memory import ReadTurn, StoredTurn
from parley_contracts.rag import CollectionName
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api", tags=["feedback"])

ASK_S = 5.0
MAX_NUMBER = 10_000


class NewVerdict(BaseModel):
    """What you think of a citation of one of your turns."""

    model_config = ConfigDict(extra="forbid")

    turn_id: ClientTurnId
    n: int = Field(ge=1, le=MAX_NUMBER)
    verdict: Verdict
    note: Note | None = None


@router.post("/feedback")
async def rate_citation(body: NewVerdict, edge: CurrentEdge, principal: CurrentPrincipal) -> CitationFeedback:
    """Say whether a citation supports what the answer says; a later verdict replaces an earlier one."""
    turn_id = edge.door.commands.turn_id(principal, body.turn_id)
    read = ReadTurn(owner_id=principal.owner_id, turn_id=turn_id)
    turn = await edge.bus.request(subjects.MEMORY_READ_TURN, read, StoredTurn, timeout_s=ASK_S)
    citation = next((one for one in turn.citations if one.n == body.n), None)
    if citation is None:
        raise ParleyError(ErrorCode.NOT_FOUND, "That answer has no such citation.", field="n")
    request = RateCitation(
        owner_id=principal.owner_id,
        turn_id=body.turn_id,
        n=body.n,
        document_id=citation.document.id,
        start=citation.start,
        end=citation.end,
        verdict=body.verdict,
        note=body.note,
    )
    return await edge.bus.request(subjects.RAG_RATE_CITATION, request, CitationFeedback, timeout_s=ASK_S)


@router.get("/feedback")
async def list_feedback(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    turn_id: Annotated[TurnId | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> FeedbackList:
    """List your verdicts, newest first."""
    request = ListFeedback(owner_id=principal.owner_id, turn_id=turn_id, limit=limit, cursor=cursor)
    return await edge.bus.request(subjects.RAG_LIST_FEEDBACK, request, FeedbackList, timeout_s=ASK_S)


@router.delete("/feedback/{turn_id}/{n}")
async def delete_feedback(
    turn_id: TurnId,
    n: Annotated[int, Path(ge=1, le=MAX_NUMBER)],
    edge: CurrentEdge,
    principal: CurrentPrincipal,
) -> Done:
    """Take a verdict back."""
    request = DeleteFeedback(owner_id=principal.owner_id, turn_id=turn_id, n=n)
    return await edge.bus.request(subjects.RAG_DELETE_FEEDBACK, request, Done, timeout_s=ASK_S)


@router.get("/collections/{name}/quality")
async def read_quality(
    name: CollectionName,
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 30,
) -> Quality:
    """Return how well retrieval has done in a collection over the last days."""
    request = ReadQuality(owner_id=principal.owner_id, collection=name, days=days)
    return await edge.bus.request(subjects.RAG_READ_QUALITY, request, Quality, timeout_s=ASK_S)
