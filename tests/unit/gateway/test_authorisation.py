"""Every route of the edge, tried by everybody: what the table says happens, and what it omits fails."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute
from parley_contracts import subjects
from parley_contracts.accounts import CreateInvitation, LinkCreated
from parley_contracts.catalogue import CHANNELS
from parley_contracts.channel import ChannelKind
from parley_contracts.credentials import CreateKey, KeyCreated
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import OwnedRequest, WireModel
from parley_contracts.policy import PERMISSIONS, Permission, Role
from parley_gateway.route_permissions import NEEDS, OPEN, Route
from parley_messaging.memory_bus import MemoryBus
from starlette.routing import Mount
from starlette.routing import Route as PlainRoute

from tests.unit.accounts.accounts_rig import OWNER, PASSWORD, as_user
from tests.unit.gateway.accounts_edge import Entered, open_identities
from tests.unit.gateway.http_edge import open_edge

FILES = {"/page", "/docs/assets"}
HTTP = [route for route in NEEDS if route[0] != "WEBSOCKET"]
BODIES: dict[Route, dict[str, Any]] = {
    ("PATCH", "/api/conversations/{conversation_id}"): {"title": "x"},
    ("POST", "/api/search"): {"query": "x"},
    ("POST", "/api/collections"): {"name": "x"},
    ("POST", "/api/documents/url"): {"url": "https://example.org/"},
    ("POST", "/api/feedback"): {"turn_id": "x", "n": 1, "verdict": "up"},
    ("POST", "/v1/embeddings"): {"input": "x", "model": "x"},
}
"""Bodies by which a request gets as far as the service; without one it ends at `invalid_request`."""

BEYOND: dict[Route, str] = {
    ("POST", "/api/users/{user_id}/reset"): "one's own password is changed by the present one",
    ("POST", "/api/auth/password"): "the present password is wrong",
}
"""Routes that refuse in these words when the table lets somebody pass: the object is his own."""


@dataclass
class Visited:
    """One gateway, a user of each role, and whom the services were asked for."""

    client: httpx.AsyncClient
    app: FastAPI
    entered: Entered
    asked_for: Counter[str] = field(default_factory=Counter[str])
    users: dict[Role, dict[str, str]] = field(default_factory=dict[Role, dict[str, str]])

    async def send(self, route: Route, headers: dict[str, str], **ids: str) -> httpx.Response:
        method, path = route
        names = {"user_id": "me", "n": "1", "turn_id": "x", "name": "x", "model_id": "x", **ids}
        for part in path.split("/"):
            if part.startswith("{"):
                name = part.strip("{}").partition(":")[0]
                path = path.replace(part, names.get(name, "x"))
        if route == ("POST", "/api/documents"):
            return await self.client.post(path, headers=headers, files={"file": ("a.txt", b"x")})
        if method in {"GET", "DELETE"}:
            return await self.client.request(method, path, headers=headers)
        return await self.client.request(method, path, headers=headers, json=BODIES.get(route, {}))

    async def key(self, *scopes: Permission) -> dict[str, str]:
        """Return the headers of an owner's key with these scopes."""
        request = CreateKey(**OWNER, name="k", key_scopes=scopes)
        made = await self.entered.accounts.ask(subjects.ACCOUNTS_CREATE_KEY, request, KeyCreated)
        return {"Authorization": f"Bearer {made.key}"}


def answer_everything(bus: MemoryBus, asked_for: Counter[str]) -> None:
    """Answer each request but those to accounts by `not_found`, and count whom it was made for."""

    async def handle(request: WireModel) -> WireModel:
        if isinstance(request, OwnedRequest):
            asked_for[request.owner_id] += 1
        raise ParleyError(ErrorCode.NOT_FOUND, "There is no such thing.")

    for channel in CHANNELS:
        if channel.kind is ChannelKind.REQUEST and channel.receiver != "accounts":
            (kind,) = channel.messages
            assert issubclass(kind, WireModel)
            bus.answer(channel.pattern, kind, handle)


@pytest.fixture
async def visited(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[Visited]:
    async with open_identities(tmp_path, accounts_file) as entered:
        bus = entered.accounts.bus
        async with open_edge(bus, tmp_path, entered.identities) as client:
            transport = client._transport  # pyright: ignore[reportPrivateUsage] - the app is wanted, not its answers
            assert isinstance(transport, httpx.ASGITransport)
            app = transport.app
            assert isinstance(app, FastAPI)
            del client.headers["Authorization"]
            found = Visited(client, app, entered)
            answer_everything(bus, found.asked_for)
            for role in Role:
                await entered.accounts.user(f"a-{role}", role)
                tokens = await entered.accounts.log_in(f"a-{role}", PASSWORD)
                found.users[role] = {
                    "user_id": tokens.user.id,
                    "session_id": tokens.session_id,
                    "Authorization": f"Bearer {tokens.access_token}",
                }
            yield found


def routes_of(routers: Iterable[object]) -> Iterator[Route]:
    """Return the routes of an application, also of the routers that it includes."""
    for route in routers:
        if included := getattr(route, "original_router", None):
            yield from routes_of(included.routes)
        elif isinstance(route, Mount):
            assert route.path in FILES
        elif isinstance(route, APIWebSocketRoute):
            yield "WEBSOCKET", route.path
        else:
            assert isinstance(route, PlainRoute), route
            yield from ((method, route.path) for method in (route.methods or ()) if method != "HEAD")


def test_every_route_is_listed_and_nothing_else_is(visited: Visited) -> None:
    assert set(routes_of(visited.app.routes)) == set(NEEDS) | OPEN
    assert not set(NEEDS) & OPEN


async def test_nobody_comes_in_without_saying_who_he_is(visited: Visited) -> None:
    answers = {route: (await visited.send(route, {})).status_code for route in HTTP}
    assert {route for route, status in answers.items() if status != 401} == set()
    assert visited.asked_for == Counter()


async def test_a_route_that_is_not_listed_lets_nobody_in(
    visited: Visited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(NEEDS, ("GET", "/api/users/me"))
    owner = {"Authorization": visited.users[Role.OWNER]["Authorization"]}
    assert (await visited.send(("GET", "/api/users/me"), owner)).status_code == 403


def is_refused(response: httpx.Response) -> bool:
    error: dict[str, Any] = response.json().get("error", {}) if response.status_code == 403 else {}
    return error.get("code") == "forbidden" and "permission" in error.get("message", "")


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_may_do_what_the_table_says_and_nothing_more(visited: Visited, role: Role) -> None:
    for route in HTTP:
        # A session of its own: some routes end it.
        tokens = await visited.entered.accounts.log_in(f"a-{role}", PASSWORD)
        response = await visited.send(route, {"Authorization": f"Bearer {tokens.access_token}"})
        may = set(NEEDS[route]) <= PERMISSIONS[role]
        assert is_refused(response) != may, (route, response.text)
        if may and route not in BEYOND:
            assert response.status_code not in {401, 403}, (route, response.text)
            assert response.status_code < 500, (route, response.text)
        visited.entered.accounts.clock.advance(0.01)
    assert set(visited.asked_for) <= {visited.users[role]["user_id"]}


async def test_a_key_may_do_what_its_scopes_say_and_nothing_more(visited: Visited) -> None:
    everything = frozenset(Permission)
    for route in HTTP:
        for needed in NEEDS[route]:
            response = await visited.send(route, await visited.key(*(everything - {needed})))
            assert is_refused(response), (route, response.text)
        response = await visited.send(route, await visited.key(*NEEDS[route]))
        assert not is_refused(response), (route, response.text)
    assert set(visited.asked_for) == {"local-owner"}


LOOKED_AFTER = {Role.GUEST: 404, Role.MEMBER: 404, Role.ADMIN: 200, Role.OWNER: 200}
OTHERS: dict[Route, dict[Role, int]] = {
    ("GET", "/api/users/{user_id}"): LOOKED_AFTER,
    ("PATCH", "/api/users/{user_id}"): LOOKED_AFTER,
    ("GET", "/api/users/{user_id}/sessions"): LOOKED_AFTER,
    ("DELETE", "/api/users/{user_id}/sessions"): LOOKED_AFTER,
    ("POST", "/api/users/{user_id}/reset"): {
        Role.GUEST: 403,
        Role.MEMBER: 403,
        Role.ADMIN: 201,
        Role.OWNER: 201,
    },
    ("DELETE", "/api/auth/sessions/{session_id}"): dict.fromkeys(Role, 404),
    ("DELETE", "/api/keys/{key_id}"): {**LOOKED_AFTER, Role.GUEST: 403},
    ("DELETE", "/api/invitations/{invitation_id}"): {**LOOKED_AFTER, Role.GUEST: 403, Role.MEMBER: 403},
}
"""What becomes of another member's object, by who asks."""

ASKED_FOR_THE_OWNER = {"conversation_id", "document_id", "name", "turn_id", "n", "model_id:path"}
"""Ids under which the service that keeps the data finds only what belongs to whom it is asked for."""


def parts_of(path: str) -> set[str]:
    return {part.strip("{}") for part in path.split("/") if part.startswith("{")}


def test_every_route_to_an_object_is_tried_with_anothers() -> None:
    assert set(OTHERS) == {route for route in HTTP if parts_of(route[1]) - ASKED_FOR_THE_OWNER}


async def objects_of_another(visited: Visited, name: str) -> dict[str, str]:
    """Make a member with a session, a key and an invitation that an owner has made."""
    accounts = visited.entered.accounts
    other = await accounts.user(name)
    tokens = await accounts.log_in(name)
    own = CreateKey(**as_user(other), name="k")
    key = await accounts.ask(subjects.ACCOUNTS_CREATE_KEY, own, KeyCreated)
    invite = CreateInvitation(**OWNER, new_role=Role.MEMBER)
    link = await accounts.ask(subjects.ACCOUNTS_CREATE_INVITATION, invite, LinkCreated)
    return {
        "user_id": other.id,
        "session_id": tokens.session_id,
        "key_id": key.described.id,
        "invitation_id": link.id,
    }


@pytest.mark.parametrize("role", list(Role))
async def test_what_is_anothers_is_for_those_who_look_after_him(visited: Visited, role: Role) -> None:
    headers = {"Authorization": visited.users[role]["Authorization"]}
    for number, (route, expected) in enumerate(OTHERS.items()):
        ids = await objects_of_another(visited, f"other{number}")
        response = await visited.send(route, headers, **ids)
        assert response.status_code == expected[role], (route, response.text)
        if expected[role] == 404:
            never = await visited.send(route, headers, **dict.fromkeys(ids, "never-was"))
            assert never.json()["error"]["message"] == response.json()["error"]["message"], route
