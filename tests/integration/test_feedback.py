"""A citation of an answer is judged, and what retrieval does is told, on a whole stack."""

from typing import Any

from tests.integration.library import Library
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK


async def test_a_verdict_on_a_citation_is_kept_shown_and_taken_back(stack: Stack, library: Library) -> None:
    async with stack.chat() as chat, stack.http() as client:
        turn = await chat.ask("How often is the cannon fired in fog?", model="extractive")
        assert turn.ending["support"] == "cited"
        n = turn.ending["citations"][0]["n"]
        body = {"turn_id": turn.turn_id, "n": n, "verdict": "up"}
        rated = await client.post("/api/feedback", json=body)
        assert rated.status_code == 200, rated.text
        assert rated.json()["document_id"] == library.ids["lighthouse.md"]
        unknown = await client.post("/api/feedback", json={**body, "n": n + 100})
        nobodys = await client.post("/api/feedback", json={**body, "turn_id": "never-asked"})
        assert (unknown.status_code, nobodys.status_code) == (404, 404)
        quality = await _quality(stack, library)
        assert quality["verdicts_up"] >= 1
        mine = {"turn_id": turn.turn_id}
        (kept,) = (await client.get("/api/feedback", params=mine)).json()["feedback"]
        assert (kept["n"], kept["verdict"], kept["collection"]) == (n, "up", library.collection)
        assert (await client.delete(f"/api/feedback/{turn.turn_id}/{n}")).status_code == 200
        assert (await client.delete(f"/api/feedback/{turn.turn_id}/{n}")).status_code == 404
        assert (await client.get("/api/feedback", params=mine)).json()["feedback"] == []


async def test_what_answers_are_given_and_cite_is_counted_for_their_collection(
    stack: Stack, library: Library
) -> None:
    before = await _quality(stack, library)
    async with stack.chat() as chat, stack.http() as client:
        turn = await chat.ask("How long does sourdough rest?", model="extractive", collections=["manuals"])
        assert turn.ending["support"] == "cited"
        found_nowhere = {"query": "zeppelin", "collection": "manuals", "types": ["no/such"]}
        nothing = await client.post("/api/search", json=found_nowhere)
        assert nothing.json()["results"] == []
    given = len(turn.event("context_ready")["citations"])
    cited = len(turn.ending["citations"])

    async def is_counted() -> bool:
        after = await _quality(stack, library)
        return (
            after["searches"] >= before["searches"] + 1
            and after["passages_given"] >= before["passages_given"] + given
            and after["passages_cited"] >= before["passages_cited"] + cited
        )

    await eventually(is_counted, within_s=20)
    after = await _quality(stack, library)
    assert after["searches"] >= after["answered_searches"] + after["empty_searches"]
    assert sum(band["searches"] for band in after["best_scores"]) == after["answered_searches"]


async def _quality(stack: Stack, library: Library) -> dict[str, Any]:
    async with stack.http() as client:
        response = await client.get(f"/api/collections/{library.collection}/quality")
        assert response.status_code == 200, response.text
        return response.json()
