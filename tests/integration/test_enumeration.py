"""What is another owner's and what never was are answered alike, on every route that takes an id.

The routes are read from the API's own description: one that is not listed here fails.
"""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import httpx
import pytest
import pytest_asyncio
from parley_contracts import subjects
from parley_contracts.claims import Acting
from parley_contracts.feedback import CitationFeedback, RateCitation, Verdict
from parley_contracts.memory import Stored, StoreUserMessage
from parley_contracts.policy import Role
from parley_contracts.rag import Collection, CreateCollection, CreateDocument, DocumentCreated
from parley_contracts.turns import TurnRef
from parley_gateway.ids import OwnedIds
from parley_messaging.acting import acting_for
from parley_messaging.nats_bus import NatsBus

from tests.claims import gateways_desk
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

STRANGER = "stranger-2"
REQUEST_ID = "enumeration"
NAME = "<name>"
VOLATILE = {"date", "content-length"}


@dataclass(frozen=True)
class Listed:
    """A route with an id: whose kind of object it names, and what else a request needs."""

    kind: str
    asked: dict[str, Any] = field(default_factory=dict[str, Any])


ROUTES = {
    ("GET", "/api/conversations/{conversation_id}"): Listed("conversation"),
    ("PATCH", "/api/conversations/{conversation_id}"): Listed("conversation", {"json": {"title": "Mine"}}),
    ("DELETE", "/api/conversations/{conversation_id}"): Listed("conversation"),
    ("GET", "/api/attachments/{attachment_id}"): Listed("attachment"),
    ("GET", "/api/attachments/{attachment_id}/content"): Listed("attachment"),
    ("DELETE", "/api/attachments/{attachment_id}"): Listed("attachment"),
    ("GET", "/api/collections/{name}"): Listed("collection"),
    ("POST", "/api/collections/{name}/reindex"): Listed("collection"),
    ("DELETE", "/api/collections/{name}"): Listed("collection"),
    ("GET", "/api/collections/{name}/quality"): Listed("collection"),
    ("GET", "/api/documents/{document_id}"): Listed("document"),
    ("GET", "/api/documents/{document_id}/events"): Listed("document"),
    ("GET", "/api/documents/{document_id}/original"): Listed("document"),
    ("POST", "/api/documents/{document_id}/cancel"): Listed("document"),
    ("POST", "/api/documents/{document_id}/reindex"): Listed("document"),
    ("DELETE", "/api/documents/{document_id}"): Listed("document"),
    ("GET", "/api/documents/{document_id}/passage"): Listed("document", {"params": {"start": 0, "end": 1}}),
    ("DELETE", "/api/feedback/{turn_id}/{n}"): Listed("turn"),
    ("GET", "/api/bots/{bot_id}"): Listed("bot"),
    ("PUT", "/api/bots/{bot_id}"): Listed("bot", {"json": {"if_version": 1, "settings": {"name": "Mine"}}}),
    ("DELETE", "/api/bots/{bot_id}"): Listed("bot"),
    ("GET", "/api/bots/{bot_id}/versions"): Listed("bot"),
    ("GET", "/api/bots/{bot_id}/versions/{version}"): Listed("bot"),
    ("POST", "/api/bots/{bot_id}/versions/{version}/restore"): Listed("bot", {"json": {"if_version": 1}}),
    ("GET", "/api/bots/{bot_id}/keys"): Listed("bot"),
    ("PUT", "/api/bots/{bot_id}/keys/{provider}"): Listed("bot", {"json": {"key": "sk-of-a-stranger"}}),
    ("DELETE", "/api/bots/{bot_id}/keys/{provider}"): Listed("bot"),
    ("GET", "/api/bots/{bot_id}/groups"): Listed("bot"),
    ("PUT", "/api/bots/{bot_id}/groups/{group_id}"): Listed("bot"),
    ("DELETE", "/api/bots/{bot_id}/groups/{group_id}"): Listed("bot"),
    ("GET", "/api/shared-bots/{shared_bot_id}"): Listed("bot"),
    ("GET", "/api/account/exports/{export_id}/file"): Listed("export"),
    ("GET", "/api/webhooks/{webhook_id}"): Listed("webhook"),
    ("PATCH", "/api/webhooks/{webhook_id}"): Listed("webhook", {"json": {"is_enabled": False}}),
    ("DELETE", "/api/webhooks/{webhook_id}"): Listed("webhook"),
    ("POST", "/api/webhooks/{webhook_id}/secret"): Listed("webhook"),
    ("POST", "/api/webhooks/{webhook_id}/test"): Listed("webhook"),
}
NOBODYS = {
    ("GET", "/v1/models/{model_id}"): "models are everybody's; bots by this route are tried with the edge",
    ("POST", "/api/chat/{bot_id}"): "bots answer the public",
    ("DELETE", "/api/chat/{bot_id}/session/{session}"): "a visitor's token names the session",
}
SECOND_PARTS = {"{n}": "1", "{version}": "1", "{provider}": "openai", "{group_id}": "a" * 32}
OF_ACCOUNTS = ("/api/admin/", "/api/auth/", "/api/keys/")
"""Tried by every role in the matrix of authorisation."""
IN_BODIES = {
    ("POST", "/api/feedback"): Listed("turn", {"turn_id": NAME, "n": 1, "verdict": "up"}),
    ("POST", "/api/search"): Listed("collection", {"query": "x", "collections": [NAME]}),
    ("POST", "/v1/chat/completions"): Listed(
        "attachment",
        {
            "model": "extractive",
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "?"}, {"type": "file", "file": {"file_id": NAME}}],
                }
            ],
        },
    ),
}
"""Routes that take an id elsewhere than in their path."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def names(running_stack: Stack) -> dict[str, tuple[str, str]]:
    """Return for each kind of object the name of a stranger's, and one of the same length that never was."""
    await running_stack.mend()
    desk = gateways_desk(running_stack.folder / "secrets")
    access = running_stack.operator_access
    bus = NatsBus(running_stack.nats_url, name="test", grace_s=2, access=access, claims=desk)
    await bus.connect()
    ids = OwnedIds(bytes.fromhex((running_stack.folder / "secrets" / "turn.key").read_text()))
    with acting_for(Acting(STRANGER, Role.MEMBER)):
        conversation_id = ids.new_conversation_id(STRANGER)
        turn_id = ids.turn_id(STRANGER, "theirs")
        turn = TurnRef(turn_id=turn_id, client_turn_id="theirs", owner_id=STRANGER, home="test")
        asked = StoreUserMessage(
            owner_id=STRANGER, turn=turn, conversation_id=conversation_id, text="A secret.", created_at_ms=1
        )
        await bus.request(subjects.MEMORY_STORE_USER_MESSAGE, asked, Stored)
        made = CreateCollection(owner_id=STRANGER, name="theirs")
        await bus.request(subjects.RAG_CREATE_COLLECTION, made, Collection)
        document = CreateDocument(
            owner_id=STRANGER,
            collection="theirs",
            name="s.txt",
            size_bytes=1,
            sha256=sha256(b"x").hexdigest(),
        )
        created = await bus.request(subjects.RAG_CREATE_DOCUMENT, document, DocumentCreated)
        rated = RateCitation(
            owner_id=STRANGER,
            turn_id="theirs",
            n=1,
            document_id=created.document.id,
            start=0,
            end=1,
            verdict=Verdict.UP,
        )
        await bus.request(subjects.RAG_RATE_CITATION, rated, CitationFeedback)
    await bus.close()
    own = await strangers_own(running_stack)
    return {
        **{kind: (name, name[::-1]) for kind, name in own.items()},
        "conversation": (conversation_id, conversation_id[::-1]),
        "collection": ("theirs", "nobody"),
        "document": (created.document.id, "00000000-0000-4000-8000-000000000000"),
        "turn": ("theirs", "nobody"),
    }


async def strangers_own(stack: Stack) -> dict[str, str]:
    """Return the ids of what another user has made over HTTP."""
    password = "a stranger's own password"
    async with stack.http() as owner:
        user = {"name": "bot-maker", "role": "member", "password": password}
        (await owner.post("/api/admin/users", json=user)).raise_for_status()
        logged_in = await owner.post("/api/auth/login", json={"login": "bot-maker", "password": password})
    token = logged_in.raise_for_status().json()["access_token"]
    async with stack.http(headers={"Authorization": f"Bearer {token}"}) as client:
        bot = (await client.post("/api/bots", json={"name": "Theirs"})).raise_for_status()
        # A name that is nobody's, and a kind of notice that never comes: nothing is sent anywhere.
        hook = {"url": "https://hooks.example.invalid/", "kinds": ["document.failed"]}
        webhook = (await client.post("/api/webhooks", json=hook)).raise_for_status()
        file = {"file": ("theirs.txt", b"A secret.")}
        attachment = (await client.post("/api/attachments", files=file)).raise_for_status()
        export = (await client.post("/api/account/exports")).raise_for_status()
    return {
        "bot": bot.json()["id"],
        "webhook": webhook.json()["webhook"]["id"],
        "export": export.json()["id"],
        "attachment": attachment.json()["attachment"]["id"],
    }


def seen(response: httpx.Response, name: str) -> tuple[int, str, dict[str, str]]:
    """Return what a client sees of an answer, with the name that it sent itself taken out."""
    headers = {key: value for key, value in response.headers.items() if key not in VOLATILE}
    return response.status_code, response.text.replace(name, "<id>"), headers


def operations(description: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}


async def test_every_route_with_an_id_is_listed(stack: Stack) -> None:
    async with stack.http() as client:
        found = operations((await client.get("/openapi.json")).json())
    ours = {one for one in found if "{" in one[1] and not one[1].startswith(OF_ACCOUNTS)}
    assert ours == ROUTES.keys() | NOBODYS.keys()
    assert IN_BODIES.keys() <= found


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
async def test_anothers_is_answered_like_what_never_was(
    stack: Stack, names: dict[str, tuple[str, str]], route: tuple[str, str]
) -> None:
    (method, path), listed = route, ROUTES[route]
    head, _, rest = path.partition("{")
    tail = rest.partition("}")[2]
    for part, value in SECOND_PARTS.items():
        tail = tail.replace(part, value)
    async with stack.http() as client:
        answers = [
            seen(
                await client.request(
                    method, f"{head}{name}{tail}", headers={"x-request-id": REQUEST_ID}, **listed.asked
                ),
                name,
            )
            for name in names[listed.kind]
        ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


@pytest.mark.parametrize("route", IN_BODIES, ids=" ".join)
async def test_anothers_in_a_body_is_answered_like_what_never_was(
    stack: Stack, names: dict[str, tuple[str, str]], route: tuple[str, str]
) -> None:
    listed = IN_BODIES[route]
    async with stack.http() as client:
        answers = [
            seen(
                await client.request(
                    *route,
                    content=json.dumps(listed.asked).replace(NAME, name),
                    headers={"x-request-id": REQUEST_ID, "content-type": "application/json"},
                ),
                name,
            )
            for name in names[listed.kind]
        ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
