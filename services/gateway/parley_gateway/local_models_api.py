"""Models that a server of ours keeps: fetched, followed, and deleted by operators."""

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from parley_contracts import subjects
from parley_contracts.local_models import (
    MODEL_FORM,
    CancelPull,
    DeleteModel,
    ListPulls,
    LocalModel,
    ModelPull,
    PullList,
)
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from parley_gateway.edge import CurrentEdge, CurrentPrincipal
from parley_gateway.pull_events import PullEvents, PullStream

router = APIRouter(prefix="/api/admin/models", tags=["admin"])

ASK_S = 5.0
CANCEL_S = 10.0
DELETE_S = 35.0

NamedModel = Annotated[str, InPath(pattern=MODEL_FORM, max_length=200, examples=["ollama/llama3.2:1b"])]


class WantedModel(BaseModel):
    """A model to fetch."""

    model_config = ConfigDict(extra="forbid")

    model: LocalModel


@router.post("/pull")
async def pull_model(body: WantedModel, edge: CurrentEdge, principal: CurrentPrincipal) -> Response:
    """Fetch a model, and follow it by server-sent events until it is over.

    It goes on when you leave; whoever asks for the same model meanwhile follows the same fetch.
    """
    events = PullEvents(edge.bus, principal, body.model)
    await events.open()
    return PullStream(edge.sockets, events)


@router.get("/pulls")
async def list_pulls(edge: CurrentEdge, principal: CurrentPrincipal) -> PullList:
    """List what is being fetched, and what has become of what was fetched lately."""
    asked = ListPulls(owner_id=principal.owner_id)
    return await edge.bus.request(subjects.LLM_LIST_PULLS, asked, PullList, timeout_s=ASK_S)


@router.delete("/pulls/{model:path}")
async def cancel_pull(model: NamedModel, edge: CurrentEdge, principal: CurrentPrincipal) -> ModelPull:
    """Stop fetching a model; what came stays on its server for the next time."""
    asked = CancelPull(owner_id=principal.owner_id, model=model)
    return await edge.bus.request(subjects.LLM_CANCEL_PULL, asked, ModelPull, timeout_s=CANCEL_S)


@router.delete("/{model:path}")
async def delete_model(model: NamedModel, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Delete a model from the server that keeps it."""
    asked = DeleteModel(owner_id=principal.owner_id, model=model)
    return await edge.bus.request(subjects.LLM_DELETE_MODEL, asked, Done, timeout_s=DELETE_S)
