"""What people think of citations, and how well retrieval does: requests to the rag service."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from parley_contracts.client_frames import MAX_TURN_ID_CHARS
from parley_contracts.model import MAX_EXACT, OwnedRequest, WireModel
from parley_contracts.rag import CollectionName

MAX_NOTE_CHARS = 1000
MAX_DAYS = 365
MAX_COUNTED = 200
MAX_CITATIONS = 2**31 - 1

TurnId = Annotated[str, Field(min_length=1, max_length=MAX_TURN_ID_CHARS)]
Note = Annotated[str, Field(max_length=MAX_NOTE_CHARS)]


class Verdict(StrEnum):
    """Whether a citation supports what the answer says."""

    UP = "up"
    DOWN = "down"


class RateCitation(OwnedRequest):
    """Request: keep what the owner thinks of a citation, in place of what was thought before."""

    type: Literal["rate_citation"] = "rate_citation"
    turn_id: TurnId = Field(description="As the client named the turn.")
    n: int = Field(ge=1, le=MAX_CITATIONS, description="The citation's number in the answer.")
    document_id: str = Field(max_length=200, description="Empty for a web page.")
    start: int = Field(ge=0, le=MAX_EXACT)
    end: int = Field(ge=0, le=MAX_EXACT)
    verdict: Verdict
    note: Note | None = None


class CitationFeedback(WireModel):
    """A verdict as it is kept."""

    type: Literal["citation_feedback"] = "citation_feedback"
    turn_id: str
    n: int
    document_id: str
    collection: str | None = Field(
        default=None, description="Of the document; None for a web page or what was removed before."
    )
    start: int
    end: int
    verdict: Verdict
    note: str | None = None
    at_ms: int


class ListFeedback(OwnedRequest):
    """Request: the owner's verdicts, newest first."""

    type: Literal["list_feedback"] = "list_feedback"
    turn_id: TurnId | None = Field(default=None, description="Those on one turn only.")
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = None


class FeedbackList(WireModel):
    """A page of verdicts; `next_cursor` is None on the last."""

    type: Literal["feedback_list"] = "feedback_list"
    feedback: tuple[CitationFeedback, ...]
    next_cursor: str | None = None


class DeleteFeedback(OwnedRequest):
    """Request: take a verdict back; `not_found` when there is none."""

    type: Literal["delete_feedback"] = "delete_feedback"
    turn_id: TurnId
    n: int = Field(ge=1, le=MAX_CITATIONS)


class CollectionCitations(WireModel):
    """How many passages of a collection answers were given, and how many they cited."""

    collection: CollectionName
    given: int = Field(ge=0, le=MAX_CITATIONS)
    cited: int = Field(ge=0, le=MAX_CITATIONS)


class CountCitations(OwnedRequest):
    """Request: add to the owner's counts of today. Counts for operators: what is lost is not sent again."""

    type: Literal["count_citations"] = "count_citations"
    counts: tuple[CollectionCitations, ...] = Field(max_length=MAX_COUNTED)


class ReadQuality(OwnedRequest):
    """Request: how well retrieval has done in a collection; `not_found` when it is not the owner's."""

    type: Literal["read_quality"] = "read_quality"
    collection: CollectionName
    days: int = Field(default=30, ge=1, le=MAX_DAYS)


class ScoreBand(WireModel):
    """Searches whose best passage scored from `least` on and less than the next band's."""

    least: float
    searches: int


class Quality(WireModel):
    """Sums over the last days, today included. No query is kept for them."""

    type: Literal["quality"] = "quality"
    collection: str
    days: int
    searches: int = Field(description="That looked in this collection, alone or with others.")
    empty_searches: int = Field(description="Of these, found nothing at all.")
    answered_searches: int = Field(description="Of these, gave a passage of this collection.")
    best_scores: tuple[ScoreBand, ...] = Field(
        description="Of `answered_searches`, by the best passage of this collection."
    )
    passages_given: int = Field(description="Of this collection, to a model whose answer was completed.")
    passages_cited: int = Field(description="Of these, cited by the answer.")
    verdicts_up: int
    verdicts_down: int
