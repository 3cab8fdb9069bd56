"""Ids that are somebody else's get the same answer as ids that never were."""

from collections.abc import AsyncGenerator
from hashlib import sha256

import pytest
import pytest_asyncio
from parley_contracts import subjects
from parley_contracts.claims import Acting
from parley_contracts.memory import Stored, StoreUserMessage
from parley_contracts.policy import Role
from parley_contracts.rag import CreateDocument, DocumentCreated
from parley_contracts.turns import TurnRef
from parley_gateway.ids import OwnedIds
from parley_messaging.acting import acting_for
from parley_messaging.nats_bus import NatsBus

from tests.claims import gateways_desk
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

STRANGER = "stranger"
NOBODYS = "00000000-0000-4000-8000-000000000000"


@pytest_asyncio.fixture(loop_scope="session")
async def bus_of_services(stack: Stack) -> AsyncGenerator[NatsBus]:
    """A place among the gateways, who say in each request whom they ask for, and vouch for it."""
    desk = gateways_desk(stack.folder / "secrets")
    bus = NatsBus(stack.nats_url, name="test", grace_s=2, access=stack.operator_access, claims=desk)
    await bus.connect()
    yield bus
    await bus.close()


@pytest.fixture
def ids(stack: Stack) -> OwnedIds:
    return OwnedIds(bytes.fromhex((stack.folder / "secrets" / "turn.key").read_text()))


async def strange_conversation(bus: NatsBus, ids: OwnedIds) -> str:
    conversation_id = ids.new_conversation_id(STRANGER)
    turn = TurnRef(
        turn_id=ids.turn_id(STRANGER, "theirs"), client_turn_id="theirs", owner_id=STRANGER, home="test"
    )
    request = StoreUserMessage(
        owner_id=STRANGER, turn=turn, conversation_id=conversation_id, text="A secret.", created_at_ms=1
    )
    with acting_for(Acting(STRANGER)):
        await bus.request(subjects.MEMORY_STORE_USER_MESSAGE, request, Stored)
    return conversation_id


async def strange_document(bus: NatsBus) -> str:
    request = CreateDocument(
        owner_id=STRANGER, name="secret.txt", size_bytes=1, sha256=sha256(b"x").hexdigest()
    )
    with acting_for(Acting(STRANGER, Role.MEMBER)):
        created = await bus.request(subjects.RAG_CREATE_DOCUMENT, request, DocumentCreated)
    return created.document.id


async def test_another_owners_conversation_is_not_found(
    stack: Stack, bus_of_services: NatsBus, ids: OwnedIds
) -> None:
    theirs = await strange_conversation(bus_of_services, ids)
    answers: list[object] = []
    async with stack.chat() as chat, stack.http() as client:
        for conversation_id in (theirs, "made-up"):
            refusal = await chat.answer_to(
                {"type": "start_turn", "text": "Tell me.", "conversation_id": conversation_id}
            )
            assert (refusal["type"], refusal["code"]) == ("error", "not_found")
            path = f"/api/conversations/{conversation_id}"
            answers.append(
                [
                    refusal["message"],
                    *[
                        (response.status_code, response.json()["error"]["message"])
                        for response in (
                            await client.get(path),
                            await client.patch(path, json={"title": "Mine"}),
                            await client.delete(path),
                        )
                    ],
                ]
            )
        listed = (await client.get("/api/conversations", params={"limit": 500})).json()["conversations"]
        turn = await chat.ask("And my own?", model="extractive", collections=[])
    assert answers[0] == answers[1]
    assert theirs not in {one["id"] for one in listed}
    assert turn.ending["type"] == "turn_completed", turn.ending


async def test_another_owners_document_is_not_found(stack: Stack, bus_of_services: NatsBus) -> None:
    theirs = await strange_document(bus_of_services)
    answers: list[object] = []
    async with stack.http() as client:
        for document_id in (theirs, NOBODYS):
            path = f"/api/documents/{document_id}"
            responses = (
                await client.get(path),
                await client.get(f"{path}/passage", params={"start": 0, "end": 1}),
                await client.get(f"{path}/events"),
                await client.get(f"{path}/original"),
                await client.post(f"{path}/cancel"),
                await client.post(f"{path}/reindex"),
                await client.delete(path),
            )
            assert [response.status_code for response in responses] == [404] * len(responses)
            answers.append([response.json()["error"]["message"] for response in responses])
        listed = (await client.get("/api/documents", params={"limit": 1000})).json()["documents"]
    assert answers[0] == answers[1]
    assert theirs not in {one["id"] for one in listed}


async def test_another_owners_turn_is_not_found(stack: Stack) -> None:
    async with stack.chat() as chat:
        for kind in ("resume_turn", "cancel_turn"):
            refusal = await chat.answer_to({"type": kind, "turn_id": "theirs"})
            assert (refusal["type"], refusal["code"]) == ("error", "not_found")
            assert (refusal["field"], refusal["turn_id"]) == ("turn_id", "theirs")
        turn = await chat.ask("And my own?", model="extractive", collections=[])
    assert turn.ending["type"] == "turn_completed", turn.ending
