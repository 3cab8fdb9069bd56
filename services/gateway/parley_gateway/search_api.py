"""Search."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.rag import CollectionName, Search, SearchMode, SearchResults
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from parley_gateway.dates import as_ms
from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api", tags=["search"])

SEARCH_S = 5.0


class SearchQuery(BaseModel):
    """A search; a filter that is absent admits everything of yours."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]
    collection: CollectionName | None = None
    collections: tuple[CollectionName, ...] | None = Field(default=None, max_length=100)
    document_ids: tuple[str, ...] | None = Field(default=None, max_length=100)
    types: tuple[str, ...] | None = Field(default=None, max_length=100, description="Media types.")
    dated_from: datetime | None = Field(default=None, description="Documents of then or later.")
    dated_before: datetime | None = Field(default=None, description="Documents of before then.")
    mode: SearchMode = SearchMode.HYBRID
    max_per_document: int | None = Field(default=None, ge=1)
    limit: int = Field(default=8, ge=1, le=100)


@router.post("/search")
async def search(body: SearchQuery, edge: CurrentEdge, principal: CurrentPrincipal) -> dict[str, Any]:
    """Find the passages that fit a query best; a collection that is not there is `not_found`."""
    collections = body.collections
    if body.collection is not None:
        collections = (body.collection, *(collections or ()))
    request = Search(
        owner_id=principal.owner_id,
        query=body.query,
        collections=collections,
        document_ids=body.document_ids,
        content_types=body.types,
        dated_from_ms=as_ms(body.dated_from),
        dated_before_ms=as_ms(body.dated_before),
        mode=body.mode,
        max_per_document=body.max_per_document,
        limit=body.limit,
    )
    try:
        found = await edge.bus.request(subjects.RAG_SEARCH, request, SearchResults, timeout_s=SEARCH_S)
    except ParleyError as error:
        if error.field != "collections" or body.collections is not None:
            raise
        raise ParleyError(error.code, error.message, field="collection") from None
    results = [passage.model_dump(mode="json", exclude_none=True) for passage in found.results]
    return {"results": results, "degraded": found.degraded}
