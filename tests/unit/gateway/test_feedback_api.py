"""A verdict is taken on a citation that stands in an answer of the asker's own, and on no other."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from parley_contracts import subjects
from parley_contracts.citations import Citation, DocumentRef
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.feedback import (
    CitationFeedback,
    DeleteFeedback,
    FeedbackList,
    ListFeedback,
    Quality,
    RateCitation,
    ReadQuality,
    ScoreBand,
)
from parley_contracts.memory import ReadTurn, StoredTurn
from parley_contracts.model import OwnedRequest
from parley_contracts.replies import Done
from parley_contracts.turns import TurnOutcome
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import IDS, OWNER_ID, open_edge

CITED = Citation(
    n=2,
    text="The pen passes to the worker.",
    score=1.0,
    document=DocumentRef(id="d1", name="protocol.md", collection="default"),
    start=10,
    end=39,
)


class Services:
    """Memory that keeps one turn of the owner's, and rag that keeps what it is told."""

    def __init__(self) -> None:
        self.asked: list[OwnedRequest] = []

    async def read_turn(self, request: ReadTurn) -> StoredTurn:
        if request.turn_id != IDS.turn_id(OWNER_ID, "t1") or request.owner_id != OWNER_ID:
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such turn.", field="turn_id")
        return StoredTurn(
            conversation_id="c1", outcome=TurnOutcome.COMPLETED, text="It passes [2].", citations=(CITED,)
        )

    async def rate(self, request: RateCitation) -> CitationFeedback:
        self.asked.append(request)
        return CitationFeedback(**request.model_dump(exclude={"type", "owner_id"}), at_ms=5)

    async def list(self, request: ListFeedback) -> FeedbackList:
        self.asked.append(request)
        return FeedbackList(feedback=())

    async def delete(self, request: DeleteFeedback) -> Done:
        self.asked.append(request)
        return Done()

    async def quality(self, request: ReadQuality) -> Quality:
        self.asked.append(request)
        return Quality(
            collection=request.collection,
            days=request.days,
            searches=4,
            empty_searches=1,
            answered_searches=3,
            best_scores=(ScoreBand(least=0.0, searches=3),),
            passages_given=9,
            passages_cited=2,
            verdicts_up=1,
            verdicts_down=0,
        )


@pytest.fixture
def services() -> Services:
    return Services()


@pytest_asyncio.fixture
async def client(services: Services, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    bus = MemoryBus()
    bus.answer(subjects.MEMORY_READ_TURN, ReadTurn, services.read_turn)
    bus.answer(subjects.RAG_RATE_CITATION, RateCitation, services.rate)
    bus.answer(subjects.RAG_LIST_FEEDBACK, ListFeedback, services.list)
    bus.answer(subjects.RAG_DELETE_FEEDBACK, DeleteFeedback, services.delete)
    bus.answer(subjects.RAG_READ_QUALITY, ReadQuality, services.quality)
    async with open_edge(bus, tmp_path) as client:
        yield client


async def test_a_verdict_goes_to_rag_as_ids_and_offsets_only(
    client: httpx.AsyncClient, services: Services
) -> None:
    body = {"turn_id": "t1", "n": 2, "verdict": "down", "note": "Another pen."}
    response = await client.post("/api/feedback", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["verdict"] == "down"
    (request,) = services.asked
    assert request.model_dump(mode="json") == {
        "type": "rate_citation",
        "owner_id": OWNER_ID,
        **body,
        "document_id": "d1",
        "start": 10,
        "end": 39,
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"turn_id": "t1", "n": 1, "verdict": "up"}, 404),
        ({"turn_id": "theirs", "n": 2, "verdict": "up"}, 404),
        ({"turn_id": "t1", "n": 2, "verdict": "sideways"}, 400),
        ({"turn_id": "t1", "n": 0, "verdict": "up"}, 400),
        ({"turn_id": "t1", "n": 2, "verdict": "up", "note": "x" * 1001}, 400),
        ({"turn_id": "with space", "n": 2, "verdict": "up"}, 400),
    ],
)
async def test_no_verdict_is_taken_on_what_is_no_citation_of_ones_own(
    client: httpx.AsyncClient, services: Services, body: dict[str, Any], status: int
) -> None:
    response = await client.post("/api/feedback", json=body)
    assert response.status_code == status, response.text
    assert services.asked == []


async def test_ones_verdicts_are_listed_and_taken_back(client: httpx.AsyncClient, services: Services) -> None:
    assert (await client.get("/api/feedback", params={"turn_id": "t1"})).json()["feedback"] == []
    assert (await client.delete("/api/feedback/key:1.a/2")).status_code == 200
    assert services.asked == [
        ListFeedback(owner_id=OWNER_ID, turn_id="t1"),
        DeleteFeedback(owner_id=OWNER_ID, turn_id="key:1.a", n=2),
    ]


async def test_the_quality_of_a_collection_is_told_for_thirty_days(
    client: httpx.AsyncClient, services: Services
) -> None:
    found = (await client.get("/api/collections/my%20manuals/quality")).json()
    assert (found["collection"], found["passages_given"], found["passages_cited"]) == ("my manuals", 9, 2)
    assert services.asked == [ReadQuality(owner_id=OWNER_ID, collection="my manuals", days=30)]
    assert (await client.get("/api/collections/m/quality", params={"days": 400})).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/feedback"),
        ("GET", "/api/feedback"),
        ("DELETE", "/api/feedback/t1/2"),
        ("GET", "/api/collections/m/quality"),
    ],
)
async def test_strangers_are_refused(client: httpx.AsyncClient, method: str, path: str) -> None:
    response = await client.request(method, path, headers={"Authorization": "Bearer pk_wrong"})
    assert response.status_code == 401
