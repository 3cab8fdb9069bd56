"""Collections: listed, made, told about, read again and removed."""

from typing import Annotated

from fastapi import APIRouter, Query
from parley_contracts import subjects
from parley_contracts.rag import (
    Collection,
    CollectionList,
    CollectionName,
    CollectionReindexed,
    CollectionStatistics,
    CreateCollection,
    DeleteCollection,
    Language,
    ListCollections,
    ReadCollection,
    ReindexCollection,
)
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api/collections", tags=["collections"])

ASK_S = 5.0
CHANGE_S = 30.0


class NewCollection(BaseModel):
    """A collection to make."""

    model_config = ConfigDict(extra="forbid")

    name: CollectionName
    language: Language | None = None


@router.get("")
async def list_collections(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    cursor: str | None = None,
) -> CollectionList:
    """List your collections, by name."""
    request = ListCollections(owner_id=principal.owner_id, limit=limit, cursor=cursor)
    return await edge.bus.request(subjects.RAG_LIST_COLLECTIONS, request, CollectionList, timeout_s=ASK_S)


@router.post("", status_code=201)
async def create_collection(
    body: NewCollection, edge: CurrentEdge, principal: CurrentPrincipal
) -> Collection:
    """Make a collection; one that exists stays as it is, and is a `conflict` in another `language`."""
    request = CreateCollection(owner_id=principal.owner_id, name=body.name, language=body.language)
    return await edge.bus.request(subjects.RAG_CREATE_COLLECTION, request, Collection, timeout_s=ASK_S)


@router.get("/{name}")
async def read_collection(
    name: CollectionName, edge: CurrentEdge, principal: CurrentPrincipal
) -> CollectionStatistics:
    """Return a collection with what it holds."""
    request = ReadCollection(owner_id=principal.owner_id, name=name)
    return await edge.bus.request(
        subjects.RAG_READ_COLLECTION, request, CollectionStatistics, timeout_s=ASK_S
    )


@router.post("/{name}/reindex", status_code=202)
async def reindex_collection(
    name: CollectionName, edge: CurrentEdge, principal: CurrentPrincipal
) -> CollectionReindexed:
    """Have all documents of a collection read again; they serve meanwhile."""
    request = ReindexCollection(owner_id=principal.owner_id, name=name)
    return await edge.bus.request(
        subjects.RAG_REINDEX_COLLECTION, request, CollectionReindexed, timeout_s=CHANGE_S
    )


@router.delete("/{name}")
async def delete_collection(name: CollectionName, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Remove a collection with all its documents."""
    request = DeleteCollection(owner_id=principal.owner_id, name=name)
    return await edge.bus.request(subjects.RAG_DELETE_COLLECTION, request, Done, timeout_s=CHANGE_S)
