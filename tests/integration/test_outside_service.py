"""Another team's service with its own credentials starts a turn, follows it, adds a document; no more."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from parley_cli.supervisor.brokers import write_authorization
from parley_contracts import subjects
from parley_contracts.bus_rights import outside_rights
from parley_contracts.rag import AddDocument, Document, ReadDocument
from parley_contracts.submissions import SubmitTurn, TurnSubmitted
from parley_contracts.turn_events import TurnCompleted, known_event
from parley_messaging.bus import Delivery
from parley_messaging.nats_access import BusAccess
from parley_messaging.nats_bus import NatsBus

from tests.chaos.printed import print_table
from tests.integration.rogue import Rogue, open_rogue
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

NAME = "shop"
RIGHTS = outside_rights(NAME)
OWNER = "local-owner"
PURGE = "$JS.API.STREAM.PURGE.TURN_EVENTS"


def tell_bus(stack: Stack) -> None:
    """Have the stack's nats-server read its users again."""
    write_authorization(stack.folder / "data", stack.access.users)
    os.kill(stack.processes["nats"].pid, signal.SIGHUP)


async def issued(stack: Stack) -> Path:
    """Issue credentials that the bus knows."""
    user = stack.access.users.issue(NAME)
    tell_bus(stack)
    nkey = stack.access.users.nkey_file(user)

    async def is_known() -> bool:
        try:
            async with open_rogue(stack.nats_url, nkey, RIGHTS.inbox_prefix):
                return True
        except Exception:  # noqa: BLE001 - nats-py says in several ways that it is not let in
            return False

    await eventually(is_known, within_s=10)
    return nkey


@asynccontextmanager
async def outside_bus(stack: Stack) -> AsyncGenerator[NatsBus]:
    """Connect with issued credentials, while the body runs."""
    access = BusAccess(rights=RIGHTS, nkey_file=await issued(stack))
    bus = NatsBus(stack.nats_url, name="shop-1", grace_s=2, access=access)
    await bus.connect()
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def operating(stack: Stack) -> AsyncGenerator[NatsBus]:
    """Connect as the user who may do anything, while the body runs."""
    bus = NatsBus(stack.nats_url, name="operator", grace_s=2, access=stack.operator_access)
    await bus.connect()
    try:
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
    content = b"Parcels leave the shop at noon. " * 20_000
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
        assert await operator.objects.get(f"{OWNER}/{document_id}") == content


async def kept(operator: NatsBus) -> dict[str, int]:
    """Return how many messages each stream holds that nobody takes any out of."""
    streams = operator.connection.jetstream()
    names = ("TURN_PEN", "TURN_EVENTS", "DOMAIN_EVENTS", "OBJ_ORIGINALS")
    return {name: (await streams.stream_info(name)).state.messages for name in names}


async def hears_nothing_else(rogue: Rogue) -> None:
    for subject in (
        ">",
        subjects.ALL_TURN_EVENTS,
        subjects.turn_events_of("gateway-0"),
        subjects.turn_events_of("ext-another"),
        subjects.ALL_SUBMITS,
        subjects.turn_submit(RIGHTS.name),
        subjects.MEMORY_READ_HISTORY,
        subjects.ALL_CONVERSATION_EVENTS,
        "_INBOX.>",
        "_INBOX_gateway.>",
        "$JS.EVENT.>",
        "$SYS.>",
    ):
        assert await rogue.may_not_hear(subject), subject


async def sends_nothing_else(rogue: Rogue) -> None:
    """What is stored comes back to where its sender says: all of it is refused, whatever the reply."""
    turn_id = uuid4().hex
    for subject in (
        subjects.turn_submit("ext-another"),
        subjects.turn_start(turn_id),
        subjects.turn_events(RIGHTS.name, turn_id),
        subjects.turn_cancel(turn_id),
        subjects.pen_slot(turn_id, 1),
        subjects.turn_hold(turn_id),
        subjects.MEMORY_READ_CONVERSATION,
        subjects.RAG_SEARCH,
        subjects.RAG_CREATE_DOCUMENT,
        subjects.RAG_DELETE_DOCUMENT,
        subjects.RAG_INGEST,
        subjects.NPU_EMBED,
        "$O.ORIGINALS.C.x",
        "$O.ORIGINALS.M.x",
        "$JS.API.INFO",
        "$JS.API.STREAM.INFO.OBJ_ORIGINALS",
        "$JS.API.STREAM.MSG.GET.OBJ_ORIGINALS",
        "$JS.API.DIRECT.GET.TURN_EVENTS",
        "$JS.API.CONSUMER.CREATE.OBJ_ORIGINALS",
        "$JS.ACK.TURNS.turn-runners.1.1.1.1.0",
        "$SYS.REQ.USER.INFO",
        "_INBOX_gateway.x",
    ):
        assert await rogue.may_not_send(subject, reply=PURGE), subject


async def is_answered_in_inboxes_only(rogue: Rogue) -> None:
    for subject in (subjects.turn_submit(RIGHTS.name), subjects.RAG_ADD_DOCUMENT):
        for reply in (PURGE, "$JS.API.STREAM.PURGE.OBJ_ORIGINALS", subjects.turn_events("h", "forged")):
            await rogue.connection.publish(subject, b"{}", reply=reply)
        # What came before it has been looked at by then.
        refusal = await rogue.connection.request(subject, b"{}", timeout=5)
        assert b"invalid_request" in refusal.data


async def test_it_does_nothing_else_and_once_revoked_nothing_at_all(stack: Stack, tmp_path: Path) -> None:
    nkey = await issued(stack)
    copy = tmp_path / "copy.nk"
    copy.write_bytes(nkey.read_bytes())
    async with operating(stack) as operator:
        await operator.objects.put("test/kept", b"kept")
        await operator.store(subjects.turn_events("h", uuid4().hex), b"{}")
        before = await kept(operator)
        async with open_rogue(stack.nats_url, nkey, RIGHTS.inbox_prefix) as rogue:
            await hears_nothing_else(rogue)
            await sends_nothing_else(rogue)
            await is_answered_in_inboxes_only(rogue)
            assert not rogue.heard
            assert await kept(operator) == before
            print_table("With the credentials of an outside service:", *rogue.tried)
            assert stack.access.users.revoke(NAME)
            tell_bus(stack)

            async def is_closed() -> bool:
                return rogue.connection.is_closed

            await eventually(is_closed, within_s=10)
    # A copy of its seed does not let it in again, not even when the same name is issued anew.
    await issued(stack)
    access = BusAccess(rights=RIGHTS, nkey_file=copy)
    copied = NatsBus(stack.nats_url, name="copied", start_timeout_s=1.0, access=access)
    with pytest.raises(ConnectionError, match="Authorization Violation"):
        await copied.connect()
    await copied.close()
