"""Another team's service with its own credentials starts a turn, follows it, adds a document; no more."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.bus_rights import outside_rights
from parley_contracts.claims import Acting, ClaimsKeys
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import AddDocument, Document, ReadDocument
from parley_contracts.submissions import SubmitTurn, TurnSubmitted
from parley_contracts.turn_events import TurnCompleted, known_event
from parley_identity.bus_claims import IssuedClaims
from parley_messaging.acting import acting_for
from parley_messaging.bus import Delivery
from parley_messaging.claims_desk import ClaimsDesk
from parley_messaging.nats_access import BusAccess
from parley_messaging.nats_bus import NatsBus
from parley_messaging.streams import TURN_EVENTS

from tests.integration.bus_users import is_all_there, issued, kept, operating, tell_bus
from tests.integration.rogue import Rogue, open_rogue
from tests.integration.rogue_attempts import ELSEWHERE, FORGED
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.refused_connection import close_refused
from tests.stack_marks import STACK

pytestmark = STACK

NAME = "shop"
RIGHTS = outside_rights(NAME)
OWNER = "local-owner"


@asynccontextmanager
async def outside_bus(stack: Stack, owner: str = OWNER) -> AsyncGenerator[NatsBus]:
    """Connect with issued credentials, while the body runs."""
    access = BusAccess(rights=RIGHTS, nkey_file=await issued(stack, NAME))
    claims = ClaimsDesk(ClaimsKeys(IssuedClaims(stack.access.users.claims_file(RIGHTS.name)), None))
    bus = NatsBus(stack.nats_url, name="shop-1", grace_s=2, access=access, claims=claims)
    await bus.connect()
    try:
        with acting_for(Acting(owner)):
            yield bus
    finally:
        await bus.close()


async def test_it_starts_a_turn_and_follows_it_to_its_end(stack: Stack) -> None:
    ended: asyncio.Future[TurnCompleted] = asyncio.get_running_loop().create_future()

    async def hear(delivery: Delivery) -> None:
        event = known_event(delivery.data)
        if isinstance(event, TurnCompleted) and not ended.done():
            ended.set_result(event)

    async with outside_bus(stack) as bus:
        await bus.subscribe(subjects.turn_events_of(RIGHTS.name), hear)
        await bus.connection.flush()
        question = SubmitTurn(owner_id=OWNER, turn_id=uuid4().hex, text="From outside.", collections=())
        asked_on = subjects.turn_submit(RIGHTS.name)
        found = await bus.request(asked_on, question, TurnSubmitted, timeout_s=10)
        assert found.turn.home == RIGHTS.name
        async with asyncio.timeout(30):
            assert (await ended).turn_id == question.turn_id
        # Its owner has it among the conversations.
        async with stack.http() as client:
            path = f"/api/conversations/{found.conversation_id}"

            async def is_stored() -> bool:
                response = await client.get(path)
                return response.status_code == 200 and len(response.json()["messages"]) == 2

            await eventually(is_stored)
        assert bus.refusals == 0


async def test_it_adds_a_document(stack: Stack) -> None:
    # More than one piece of the object store, and little to read.
    content = b"Parcels leave the shop at noon." + b"\n" * 150_000
    request = AddDocument(
        owner_id=OWNER, collection="outside", name="parcels.txt", content_type="text/plain", content=content
    )
    async with outside_bus(stack) as bus:
        document_id = (await bus.request(subjects.RAG_ADD_DOCUMENT, request, Document, timeout_s=10)).id
        assert bus.refusals == 0
    async with operating(stack) as operator:

        async def is_ready() -> bool:
            asked = ReadDocument(owner_id=OWNER, document_id=document_id)
            found = await operator.request(subjects.RAG_READ_DOCUMENT, asked, Document, timeout_s=10)
            return str(found.status) == "ready"

        await eventually(is_ready, within_s=60)
    async with stack.http() as owner:
        assert (await owner.get(f"/api/documents/{document_id}/original")).content == content


async def test_it_asks_in_nobodys_name_but_its_owners(stack: Stack) -> None:
    async with outside_bus(stack, "somebody-else") as bus:
        question = SubmitTurn(owner_id="somebody-else", text="Mine?", collections=())
        document = AddDocument(
            owner_id="somebody-else", name="a.txt", content_type="text/plain", content=b"a"
        )
        for subject, request, reply in (
            (subjects.turn_submit(RIGHTS.name), question, TurnSubmitted),
            (subjects.RAG_ADD_DOCUMENT, document, Document),
        ):
            with pytest.raises(ParleyError) as caught:
                await bus.request(subject, request, reply, timeout_s=10)
            assert caught.value.code is ErrorCode.FORBIDDEN


async def is_answered_in_inboxes_only(rogue: Rogue) -> None:
    for subject in (subjects.turn_submit(RIGHTS.name), subjects.RAG_ADD_DOCUMENT):
        for reply in ELSEWHERE:
            await rogue.connection.publish(subject, b"{}", reply=reply)
        # What came before it has been looked at by then.
        refusal = await rogue.connection.request(subject, b"{}", timeout=5)
        assert b"invalid_request" in refusal.data


async def test_it_has_no_answer_sent_elsewhere_and_once_revoked_does_nothing_at_all(
    stack: Stack, tmp_path: Path
) -> None:
    nkey = await issued(stack, NAME)
    copy = tmp_path / "copy.nk"
    copy.write_bytes(nkey.read_bytes())
    async with operating(stack) as operator:
        await operator.objects.put("test/kept", b"kept")
        await operator.store(subjects.turn_events("h", uuid4().hex), b"{}")
        before = await kept(operator)
        async with open_rogue(stack.nats_url, nkey, RIGHTS.inbox_prefix) as rogue:
            await is_answered_in_inboxes_only(rogue)
            assert is_all_there(before, await kept(operator))
            assert await operator.last_stored(TURN_EVENTS, FORGED) is None
            assert stack.access.users.revoke(RIGHTS)
            await tell_bus(stack)

            async def is_closed() -> bool:
                return rogue.connection.is_closed

            await eventually(is_closed, within_s=10)
    # A copy of its seed does not let it in again, not even when the same name is issued anew.
    await issued(stack, NAME)
    access = BusAccess(rights=RIGHTS, nkey_file=copy)
    copied = NatsBus(stack.nats_url, name="copied", start_timeout_s=1.0, access=access)
    with pytest.raises(ConnectionError, match="Authorization Violation") as caught:
        await copied.connect()
    close_refused(caught.value)
    await copied.close()
