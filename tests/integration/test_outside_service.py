"""Another team's service with its own credentials starts a turn, follows it, adds a document; no more."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

from parley_cli.supervisor.brokers import write_authorization
from parley_contracts import subjects
from parley_contracts.bus_rights import outside_rights
from parley_contracts.rag import (
    CreateDocument,
    Document,
    DocumentCreated,
    IngestDocument,
    ReadDocument,
    original_key,
)
from parley_contracts.turn_events import TurnCompleted, known_event
from parley_contracts.turns import StartTurn, TurnRef
from parley_messaging.bus import Delivery
from parley_messaging.nats_access import BusAccess
from parley_messaging.nats_bus import NatsBus

from tests.integration.rogue import open_rogue
from tests.integration.stack import Stack
from tests.integration.waiting import eventually
from tests.stack_marks import STACK

pytestmark = STACK

NAME = "shop"
RIGHTS = outside_rights(NAME)
OWNER = "local"


def tell_bus(stack: Stack) -> None:
    """Have the stack's nats-server read its users again."""
    write_authorization(stack.folder / "data", stack.access.users)
    os.kill(stack.processes["nats"].pid, signal.SIGHUP)


@asynccontextmanager
async def outside_bus(stack: Stack) -> AsyncGenerator[NatsBus]:
    """Issue credentials and connect with them, while the body runs."""
    user = stack.access.users.issue(NAME)
    tell_bus(stack)
    access = BusAccess(rights=RIGHTS, nkey_file=stack.access.users.nkey_file(user))
    bus = NatsBus(stack.nats_url, name="shop-1", grace_s=2, access=access)
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
        turn = TurnRef(turn_id=uuid4().hex, client_turn_id=uuid4().hex, owner_id=OWNER, home=RIGHTS.name)
        start = StartTurn(
            turn=turn,
            conversation_id=uuid4().hex,
            continues_conversation=False,
            text="From outside.",
            collections=(),
        )
        await bus.store(subjects.turn_start(turn.turn_id), start.model_dump_json().encode())
        async with asyncio.timeout(30):
            assert (await ended).finish_reason
        assert bus.refusals == 0


async def test_it_adds_a_document(stack: Stack) -> None:
    data = b"Parcels leave the shop at noon. " * 20_000
    request = CreateDocument(
        owner_id=OWNER,
        collection="outside",
        name="parcels.txt",
        content_type="text/plain",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    operator = NatsBus(stack.nats_url, name="operator", grace_s=2, access=stack.operator_access)
    await operator.connect()
    async with outside_bus(stack) as bus:
        created = await bus.request(subjects.RAG_CREATE_DOCUMENT, request, DocumentCreated, timeout_s=10)
        document_id = created.document.id
        key = original_key(OWNER, document_id)
        await bus.objects.put(key, data)
        job = IngestDocument(owner_id=OWNER, document_id=document_id, object_key=key)
        await bus.store(subjects.RAG_INGEST, job.model_dump_json().encode())
        assert bus.refusals == 0
    assert await operator.objects.get(key) == data

    async def is_ready() -> bool:
        asked = ReadDocument(owner_id=OWNER, document_id=document_id)
        found = await operator.request(subjects.RAG_READ_DOCUMENT, asked, Document, timeout_s=10)
        return str(found.status) == "ready"

    await eventually(is_ready, within_s=60)
    await operator.close()


async def test_it_does_nothing_else_and_once_revoked_nothing_at_all(stack: Stack) -> None:
    user = stack.access.users.issue(NAME)
    tell_bus(stack)
    async with open_rogue(stack.nats_url, stack.access.users.nkey_file(user), RIGHTS.inbox_prefix) as rogue:
        for subject in (
            subjects.ALL_TURN_EVENTS,
            subjects.turn_events_of("gateway-0"),
            subjects.turn_events_of("ext-another"),
            subjects.MEMORY_READ_HISTORY,
            "_INBOX_gateway.>",
        ):
            assert await rogue.may_not_hear(subject), subject
        turn_id = uuid4().hex
        for subject in (
            subjects.turn_events(RIGHTS.name, turn_id),
            subjects.turn_cancel(turn_id),
            subjects.pen_slot(turn_id, 1),
            subjects.MEMORY_READ_CONVERSATION,
            subjects.RAG_SEARCH,
            subjects.RAG_DELETE_DOCUMENT,
            "$JS.API.DIRECT.GET.TURN_EVENTS",
            "$JS.API.STREAM.MSG.GET.OBJ_ORIGINALS",
            "$JS.API.CONSUMER.CREATE.OBJ_ORIGINALS",
        ):
            assert await rogue.may_not_send(subject), subject
        assert stack.access.users.revoke(NAME)
        tell_bus(stack)

        async def is_closed() -> bool:
            return rogue.connection.is_closed

        await eventually(is_closed, within_s=10)
