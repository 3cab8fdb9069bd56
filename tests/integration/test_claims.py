"""A rogue with a place on the bus, who knows every id there is, is answered by no service of a real stack."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from parley_contracts import headers, subjects
from parley_contracts.accounts import LOCAL_OWNER, CreateUser
from parley_contracts.claims import Acting, ClaimsKeys
from parley_contracts.credentials import CreateKey
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import (
    DeleteConversation,
    ListConversations,
    ReadConversation,
    ReadHistory,
)
from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.policy import Role
from parley_contracts.rag import DeleteDocument, ListDocuments, ReadPassage, Search
from parley_contracts.turn_events import TERMINAL_TYPES, frame_type
from parley_contracts.turns import StartTurn, TurnRef
from parley_identity import create_claims_keys, rotate_claims_key
from parley_identity.bus_claims import Signer
from parley_messaging.bus import Delivery
from parley_messaging.message_headers import now_ms
from parley_messaging.nats_bus import NatsBus

from tests.claims import GATEWAY_KEY, ToldDesk
from tests.integration.library import Library
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

SECRET = "My safe opens with 4711-0815."


@dataclass
class Rogue:
    """Somebody with valid credentials of the bus, who says whatever the next line of a test has him say."""

    bus: NatsBus
    desk: ToldDesk
    attempts: int = 0

    async def refusal(self, subject: str, request: OwnedRequest) -> tuple[ErrorCode, str]:
        """Return what he is told."""
        self.attempts += 1
        with pytest.raises(ParleyError) as refused:
            await self.bus.request(subject, request, WireModel, timeout_s=10)
        return refused.value.code, refused.value.message


@pytest_asyncio.fixture(loop_scope="session")
async def rogue(stack: Stack) -> AsyncGenerator[Rogue]:
    desk = ToldDesk(ClaimsKeys(None, None))
    bus = NatsBus(stack.nats_url, name="rogue", grace_s=2, access=stack.operator_access, claims=desk)
    await bus.connect()
    yield Rogue(bus, desk)
    await bus.close()


@pytest_asyncio.fixture(loop_scope="session")
async def conversation_id(stack: Stack) -> str:
    """A conversation of the owner that holds a secret."""
    async with stack.chat() as chat, stack.http() as client:
        turn = await chat.ask(SECRET, model="extractive", collections=[])
        await eventually(lambda: has_messages(client, turn.conversation_id, 2))
    return turn.conversation_id


async def has_messages(client: httpx.AsyncClient, conversation_id: str, count: int) -> bool:
    found = await client.get(f"/api/conversations/{conversation_id}")
    return found.status_code == 200 and len(found.json()["messages"]) == count


def attempts_at(conversation_id: str, document_id: str) -> dict[str, OwnedRequest]:
    """Return what the rogue would like to be answered, in the owner's name."""
    owner: dict[str, Any] = {"owner_id": LOCAL_OWNER}
    return {
        subjects.MEMORY_LIST_CONVERSATIONS: ListConversations.model_validate(owner),
        subjects.MEMORY_READ_CONVERSATION: ReadConversation(**owner, conversation_id=conversation_id),
        subjects.MEMORY_READ_HISTORY: ReadHistory(
            **owner, conversation_id=conversation_id, max_chars=1000, before_turn_id="t"
        ),
        subjects.MEMORY_DELETE_CONVERSATION: DeleteConversation(**owner, conversation_id=conversation_id),
        subjects.RAG_SEARCH: Search(**owner, query="whale oil"),
        subjects.RAG_LIST_DOCUMENTS: ListDocuments.model_validate(owner),
        subjects.RAG_READ_PASSAGE: ReadPassage(**owner, document_id=document_id, start=0, end=100),
        subjects.RAG_DELETE_DOCUMENT: DeleteDocument(**owner, document_id=document_id),
        subjects.ACCOUNTS_CREATE_USER: CreateUser(
            **owner, role=Role.OWNER, name="rogue", new_role=Role.OWNER, password="a long password"
        ),
        subjects.ACCOUNTS_CREATE_KEY: CreateKey(**owner, role=Role.OWNER, name="rogue"),
    }


async def test_a_rogue_reads_searches_and_deletes_nothing_of_the_owner(
    stack: Stack,
    rogue: Rogue,
    library: Library,
    conversation_id: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    own = tmp_path_factory.mktemp("forged")
    create_claims_keys(own)
    real, forged = Signer(stack.folder / "secrets" / GATEWAY_KEY), Signer(own / GATEWAY_KEY)
    says: dict[str, Callable[[str], str | None]] = {
        "nothing": lambda area: None,
        "something signed by himself": lambda area: forged.sign(Acting(LOCAL_OWNER, Role.OWNER), area),
        "his own claims, which are real": lambda area: real.sign(Acting("rogue", Role.OWNER), area),
        "the owner's, which he has seen elsewhere": lambda area: real.sign(
            Acting(LOCAL_OWNER, Role.OWNER), "browser"
        ),
    }
    wanted = attempts_at(conversation_id, library.ids["lighthouse.md"])
    for said in says.values():
        for subject, request in wanted.items():
            rogue.desk.said = said(subject.split(".")[2])
            told = await rogue.refusal(subject, request)
            assert told == (ErrorCode.FORBIDDEN, "Nobody vouches for this request."), subject
    assert rogue.attempts == len(says) * len(wanted)
    # And the same requests are answered for whom they are made, so it was the claims that decided.
    async with stack.http() as client:
        assert await has_messages(client, conversation_id, 2)
        found = (await client.post("/api/search", json={"query": "whale oil"})).json()["results"]
        assert "whale oil" in found[0]["text"]
        users = (await client.get("/api/admin/users")).json()["users"]
        assert [user["name"] for user in users if user["name"] == "rogue"] == []
        counted = (await client.get(stack.metrics_url("memory"))).text
        for fault in ("missing", "unknown_key", "other_owner", "other_subject"):
            assert f'parley_claims_refused_total{{fault="{fault}"}}' in counted


async def ended(rogue: Rogue, ref: TurnRef, publish: Callable[[], Awaitable[object]]) -> list[bytes]:
    """Return the events of a turn that the rogue starts."""
    frames: list[bytes] = []

    async def hear(delivery: Delivery) -> None:
        frames.append(delivery.data)

    async def is_over() -> bool:
        return bool(frames) and frame_type(frames[-1]) in TERMINAL_TYPES

    heard = await rogue.bus.subscribe(subjects.turn_events(ref.home, ref.turn_id), hear)
    try:
        await publish()
        await eventually(is_over)
    finally:
        await heard.unsubscribe()
    return frames


async def test_a_rogue_goes_on_with_nobodys_chat_by_its_id(
    stack: Stack, rogue: Rogue, conversation_id: str
) -> None:
    own_claims = Signer(stack.folder / "secrets" / GATEWAY_KEY)
    for turn_id, said in (
        ("forged-1", None),
        (
            "forged-2",
            own_claims.sign_lasting(
                Acting("rogue", Role.OWNER, turn_id="forged-2"), (subjects.ALL_TURN_STARTS,)
            ),
        ),
    ):
        ref = TurnRef(turn_id=turn_id, client_turn_id=turn_id, owner_id=LOCAL_OWNER, home="rogue")
        command = StartTurn(
            turn=ref,
            conversation_id=conversation_id,
            continues_conversation=True,
            text="How does my safe open?",
            collections=(),
            accepted_at_ms=now_ms(),
            deadline_ms=now_ms() + 60_000,
        )
        extra = {headers.CLAIMS: said} if said else {}
        body = command.model_dump_json().encode()
        subject = subjects.turn_start(turn_id)
        frames = await ended(rogue, ref, lambda s=subject, b=body, h=extra: rogue.bus.store(s, b, headers=h))
        assert [frame_type(frame) for frame in frames] == ["turn_failed"]
        assert b"4711" not in b"".join(frames)
        assert b'"code":"forbidden"' in frames[0]
    async with stack.http() as client:
        assert await has_messages(client, conversation_id, 2)


async def test_the_key_is_replaced_while_chats_run(stack: Stack) -> None:
    async with stack.chat(0) as first, stack.chat(1) as second:
        for chat in (first, second):
            turn = await chat.ask("Before?", model="extractive", collections=[])
            assert turn.ending["type"] == "turn_completed", turn.ending
        rotate_claims_key(stack.folder / "secrets", "gateway")
        for number in range(4):
            turn = await (first, second)[number % 2].ask("And after?", model="extractive")
            assert turn.ending["type"] == "turn_completed", turn.ending
            assert (turn.ending["stored"], turn.ending["degraded"]) == ("yes", [])
