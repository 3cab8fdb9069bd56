"""What the gateway itself refuses stands in the audit, and what it asks of others says from where."""

from pathlib import Path

import httpx
import pytest
from parley_contracts import subjects
from parley_contracts.audit import Action, ActorKind, AuditEvent, Outcome, as_agent, as_id
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import DeleteConversation
from parley_contracts.policy import Role
from parley_contracts.replies import Done
from parley_gateway.principal import Principal
from parley_messaging.memory_bus import MemoryBus

from tests.unit.gateway.http_edge import KEY, OWNER_ID, open_edge
from tests.unit.gateway.known_keys import KnownKeys
from tests.unit.messaging.test_audit_desk import KeepingBus

AGENT = "planted-agent/1.0"
CONVERSATION = "0123456789abcdef0123456789abcdef"
PLANTED = ("planted", KEY, "Bearer")


async def told(bus: MemoryBus) -> list[AuditEvent]:
    keeping = KeepingBus()
    await bus.audit.finish(keeping)
    kept = [event for _, event in keeping.kept]
    text = "".join(event.model_dump_json() for event in kept)
    assert not [secret for secret in PLANTED if secret in text]
    return kept


async def deleted(_: DeleteConversation) -> Done:
    return Done()


async def test_who_asks_a_service_is_told_with_address_agent_and_request(tmp_path: Path) -> None:
    bus = MemoryBus()
    bus.answer(subjects.MEMORY_DELETE_CONVERSATION, DeleteConversation, deleted, group="memory")
    guest = Principal(OWNER_ID, Role.MEMBER, key_id="f" * 16)
    headers = {"User-Agent": AGENT, "X-Request-Id": "c" * 32}
    async with open_edge(bus, tmp_path, KnownKeys({KEY: guest}, {})) as client:
        answer = await client.delete(f"/api/conversations/{CONVERSATION}", headers=headers)
        assert answer.status_code == 200
    (event,) = await told(bus)
    assert (event.action, event.outcome, event.object_id) == (
        Action.CONVERSATION_DELETED,
        Outcome.DONE,
        as_id(CONVERSATION),
    )
    assert event.provenance.address == "127.0.0.1"
    assert event.provenance.agent == as_agent(AGENT)
    assert (event.provenance.credential, event.provenance.request_id) == ("f" * 16, "c" * 32)


async def test_what_the_role_does_not_permit_is_told_with_its_route(tmp_path: Path) -> None:
    bus = MemoryBus()
    guest = Principal(OWNER_ID, Role.GUEST)
    async with open_edge(bus, tmp_path, KnownKeys({KEY: guest}, {})) as client:
        assert (await client.delete("/api/documents/planted-name")).status_code == 403
    (event,) = await told(bus)
    assert (event.action, event.outcome, event.details.code) == (
        Action.ROUTE_REQUESTED,
        Outcome.REFUSED,
        "forbidden",
    )
    assert event.details.route == "DELETE /api/documents/{document_id}"
    assert (event.actor_kind, event.actor_id) == (ActorKind.USER, as_id(OWNER_ID))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "https://planted.example"}, "forbidden"),
        ({"Authorization": "Bearer planted-key"}, "unauthenticated"),
        ({"Authorization": "", "Cookie": "parley_session=planted.1.2"}, "unauthenticated"),
    ],
    ids=["another origin", "a wrong key", "a forged cookie"],
)
async def test_a_request_that_is_refused_at_the_door_is_told(
    tmp_path: Path, headers: dict[str, str], code: str
) -> None:
    bus = MemoryBus()
    async with open_edge(bus, tmp_path) as client:
        await client.delete(f"/api/conversations/{CONVERSATION}", headers=headers)
    (event,) = await told(bus)
    assert (event.action, event.outcome, event.details.code) == (
        Action.ROUTE_REQUESTED,
        Outcome.REFUSED,
        code,
    )


async def test_who_shows_nothing_is_not_told(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with open_edge(bus, tmp_path) as client:
        assert (await client.get("/api/conversations", headers={"Authorization": ""})).status_code == 401
    assert await told(bus) == []


async def test_what_another_service_has_refused_is_told_by_that_one_alone(tmp_path: Path) -> None:
    async def refuse(_: DeleteConversation) -> Done:
        raise ParleyError(ErrorCode.FORBIDDEN, "Not yours.")

    bus = MemoryBus()
    bus.answer(subjects.MEMORY_DELETE_CONVERSATION, DeleteConversation, refuse, group="memory")
    async with open_edge(bus, tmp_path) as client:
        assert (await client.delete(f"/api/conversations/{CONVERSATION}")).status_code == 403
    (event,) = await told(bus)
    assert (event.action, event.outcome) == (Action.CONVERSATION_DELETED, Outcome.REFUSED)


async def test_a_thousand_refusals_are_one_event_and_a_count(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with open_edge(bus, tmp_path, KnownKeys({KEY: Principal(OWNER_ID, Role.GUEST)}, {})) as client:
        refused = [await client.delete("/api/documents/x") for _ in range(30)]
    assert {one.status_code for one in refused} == {403}
    assert [event.details.count for event in await told(bus)] == [None, 29]


async def test_the_error_names_the_request_as_the_client_does(tmp_path: Path) -> None:
    async with open_edge(MemoryBus(), tmp_path) as client:
        answer: httpx.Response = await client.get("/api/nothing", headers={"X-Request-Id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
