"""A service that is away costs a turn its part, not the answer, and health names it."""

from typing import Any

from tests.integration.library import Library
from tests.integration.paced import QUICK
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

QUICK_ID = f"ollama/{QUICK}"
QUESTION = "How often is the cannon fired in fog?"


async def health(stack: Stack) -> dict[str, Any]:
    async with stack.http() as client:
        response = await client.get("/v1/health")
    assert response.status_code == 200
    return response.json()


async def test_health_names_the_service_that_is_away(stack: Stack) -> None:
    before = await health(stack)
    async with stack.without("browser"):
        without = await health(stack)
    after = await health(stack)
    for well in (before, after):
        assert well["status"] == "ok"
        assert {state["status"] for state in well["services"].values()} == {"ok"}
    assert without["status"] == "degraded"
    assert without["services"]["browser"] == {"status": "away", "reason": "unavailable"}
    others = {name: state["status"] for name, state in without["services"].items() if name != "browser"}
    assert set(others.values()) == {"ok"}


async def test_a_turn_without_retrieval_is_answered_and_says_what_it_lacks(
    stack: Stack, library: Library
) -> None:
    async with stack.without("rag"), stack.chat() as chat, stack.http() as client:
        written = await chat.ask(QUESTION, model=QUICK_ID)
        quoted = await chat.ask(QUESTION, model="extractive")
        search = await client.post("/api/search", json={"query": QUESTION})
    async with stack.chat() as chat:
        after = await chat.ask(QUESTION, model="extractive")
    for turn in (written, quoted):
        assert turn.ending["type"] == "turn_completed", turn.ending
        assert turn.ending["degraded"] == turn.event("context_ready")["degraded"] == ["rag"]
        assert turn.ending["citations"] == []
        assert turn.text
        assert turn.ending["stored"] == "yes"
    assert (search.status_code, search.json()["error"]["code"]) == (503, "unavailable")
    assert after.ending["degraded"] == []
    assert after.ending["citations"][0]["document"]["id"] == library.ids["lighthouse.md"]


async def test_without_embeddings_documents_are_found_by_their_words(stack: Stack, library: Library) -> None:
    async with stack.without("npu"), stack.chat() as chat:
        turn = await chat.ask(QUESTION, model="extractive")
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert turn.ending["degraded"] == ["npu"]
    assert turn.ending["citations"][0]["document"]["id"] == library.ids["lighthouse.md"]


async def test_an_answer_that_memory_was_away_for_is_stored_when_it_is_back(stack: Stack) -> None:
    async with stack.chat() as chat:
        async with stack.without("memory"):
            turn = await chat.ask("Remember this.", model=QUICK_ID, collections=[])
            assert turn.ending["type"] == "turn_completed", turn.ending
            assert turn.ending["stored"] == "pending"
        async with stack.http() as client:

            async def is_stored() -> bool:
                response = await client.get(f"/api/conversations/{turn.conversation_id}")
                return response.status_code == 200 and len(response.json()["messages"]) == 2

            await eventually(is_stored)
            found = (await client.get(f"/api/conversations/{turn.conversation_id}")).json()
    assert [message["text"] for message in found["messages"]] == ["Remember this.", turn.text]


async def test_a_turn_waits_for_model_workers_that_are_away(
    stack: Stack,
) -> None:
    async with stack.chat() as chat:
        await chat.ask("Warm up.", model=QUICK_ID, collections=[])
        code = await stack.terminate("llm")
        turn = await chat.start("Wait for it.", model=QUICK_ID, collections=[])
        await chat.until(lambda: bool(turn.positions))
        await stack.start("llm")
        await chat.until(lambda: turn.is_over)
    assert code == 0
    assert turn.ending["type"] == "turn_completed", turn.ending
    assert turn.text
