"""Every route tried by everybody, on what is his own, another's and nobody's, before the real services.

What is expected is read from the policy; a route that it does not list fails here, and so does one that asks
a subject for which the route's permissions do not suffice.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIWebSocketRoute
from parley_contracts import subjects
from parley_contracts.accounts import EndSession
from parley_contracts.client_frames import StartTurnFrame
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import PERMISSIONS, Permission, Role, may_manage
from parley_contracts.replies import Done
from parley_contracts.route_policy import OPEN_ROUTES, ROUTES, WHOLE_ROUTES, Route
from parley_contracts.subject_policy import OF_OTHERS
from parley_gateway.principal import Principal
from starlette.routing import Mount
from starlette.routing import Route as PlainRoute

from tests.chaos.printed import print_row
from tests.unit.accounts.accounts_rig import as_user
from tests.unit.gateway.http_edge import until_refused
from tests.unit.gateway.whole_edge import (
    LOCAL_MODEL,
    MODEL,
    NOBODYS_URL,
    THINGS,
    Visitor,
    WholeEdge,
    open_whole_edge,
)

FILES = {"/page", "/docs/assets"}
HTTP = [route for route in ROUTES if route[0] != "WEBSOCKET"]
ADMIN = "/api/admin/"
QUERIES = {"/api/documents/{document_id}/passage": "?start=0&end=5", "/api/notices/events": "?for_s=0"}
NEVER: dict[str, str] = {**dict.fromkeys(THINGS, "never-was"), "version": "1"}
SEEN = ("user_id", "group_id", "key_id", "bot_id", "shared_bot_id")
"""What those see of others who look after them."""
IN_BODIES = {("POST", "/api/feedback"): {"turn_id"}, ("POST", "/api/search"): {"name"}}
"""Routes that take an id in their body."""

STATUSES: dict[Route, int] = {
    ("POST", "/api/account/erasure"): 401,
    ("POST", "/api/admin/users/{user_id}/erasure"): 400,
    ("POST", "/v1/chat/completions"): 400,
    ("POST", "/v1/responses"): 400,
    ("POST", "/api/auth/password"): 401,
    ("POST", "/api/documents/{document_id}/cancel"): 409,
    ("POST", "/api/admin/users/{user_id}/reset"): 403,
    ("POST", "/api/admin/signing-keys/rotate"): 409,
    ("PUT", "/api/admin/groups/{group_id}/members/{user_id}"): 403,
    ("DELETE", "/api/admin/groups/{group_id}/members/{user_id}"): 403,
}
"""How routes answer to whom the policy lets in: by the empty body, the wrong password or name that is sent,
because the document is through, because nobody resets his own password, because the next key is too young,
and as only owners put themselves into groups."""


class Whose(Enum):
    OWN = "own"
    OTHERS = "another's"
    NOBODYS = "nobody's"


class Outcome(Enum):
    DONE = "done"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not found"


def body_of(route: Route, ids: dict[str, str]) -> dict[str, Any]:
    """Return a body with which a request does what it is for."""
    bodies: dict[Route, dict[str, Any]] = {
        ("PATCH", "/api/conversations/{conversation_id}"): {"title": "x"},
        ("POST", "/api/search"): {"query": "heron", "collections": [ids.get("name", "x")]},
        ("POST", "/api/collections"): {"name": uuid4().hex},
        ("POST", "/api/documents/url"): {"url": "https://example.org/"},
        ("POST", "/api/feedback"): {"turn_id": ids.get("turn_id", "x"), "n": 1, "verdict": "up"},
        ("POST", "/v1/embeddings"): {"input": "x", "model": "hashed-words"},
        ("PATCH", "/api/auth/me"): {"display_name": "x"},
        ("POST", "/api/auth/password"): {
            "current_password": "wrong",
            "new_password": "correct battery horse",
        },
        ("POST", "/api/keys"): {"name": "x"},
        ("POST", "/api/account/erasure"): {"password": "wrong"},
        ("POST", "/api/admin/users/{user_id}/erasure"): {"name": "not-his-name"},
        ("POST", "/api/bots"): {"name": "x"},
        ("PUT", "/api/bots/{bot_id}"): {"if_version": 1, "settings": {"name": "x"}},
        ("POST", "/api/bots/{bot_id}/versions/{version}/restore"): {"if_version": 1},
        ("PUT", "/api/bots/{bot_id}/keys/{provider}"): {"key": "sk-another-one"},
        ("PATCH", "/api/notices/settings"): {"choices": [{"kind": "key.created", "mail": False}]},
        ("POST", "/api/webhooks"): {"url": NOBODYS_URL},
        ("POST", "/api/admin/models/pull"): {"model": LOCAL_MODEL},
        ("POST", "/api/admin/users"): {"name": uuid4().hex, "role": "guest"},
        ("PATCH", "/api/admin/users/{user_id}"): {"display_name": "x"},
        ("POST", "/api/admin/invitations"): {"role": "guest"},
        ("POST", "/api/admin/groups"): {"name": uuid4().hex, "permissions": ["documents:write"]},
        ("PATCH", "/api/admin/bots/{bot_id}"): {"is_blocked": True},
        ("PATCH", "/api/admin/groups/{group_id}"): {"permissions": ["web:use"]},
    }
    return bodies.get(route, {})


async def send(
    client: httpx.AsyncClient, route: Route, headers: dict[str, str], ids: dict[str, str] | None = None
) -> httpx.Response:
    method, path = route
    named = {**NEVER, "n": "1", "model_id": MODEL, "model": LOCAL_MODEL, **(ids or {})}
    for part in parts_of(path):
        path = path.replace(f"{{{part}}}", named[part.partition(":")[0]])
    path += QUERIES.get(route[1], "")
    if route in {("POST", "/api/documents"), ("POST", "/api/attachments")}:
        return await client.post(path, headers=headers, files={"file": ("a.txt", b"x")})
    if method in {"GET", "DELETE"}:
        return await client.request(method, path, headers=headers)
    return await client.request(method, path, headers=headers, json=body_of(route, named))


def parts_of(path: str) -> set[str]:
    return {part.strip("{}") for part in path.split("/") if part.startswith("{")}


def things_in(route: Route) -> set[str]:
    """Return the names of the ids that a route takes."""
    return IN_BODIES.get(route, set()) | (parts_of(route[1]) - {"model_id:path", "model:path"})


def expected(route: Route, role: Role, whose: Whose) -> Outcome:
    """Return what the policy says becomes of a request."""
    if not set(ROUTES[route]) <= PERMISSIONS[role]:
        return Outcome.FORBIDDEN
    if whose is Whose.OWN:
        return Outcome.DONE
    looks_after = route[1].startswith(ADMIN) or (
        route == ("DELETE", "/api/keys/{key_id}") and Permission.USERS_WRITE in PERMISSIONS[role]
    )
    return Outcome.DONE if whose is Whose.OTHERS and looks_after else Outcome.NOT_FOUND


def seen(response: httpx.Response, ids: dict[str, str]) -> tuple[int, str]:
    """Return what a client sees of an answer, with the ids that it sent itself taken out."""
    text = response.text.replace(response.headers.get("x-request-id", "-"), "")
    for one in sorted(ids.values(), key=len, reverse=True):
        text = text.replace(one, "") if len(one) > 1 else text
    return response.status_code, text


def is_forbidden(response: httpx.Response) -> bool:
    told = ("needs the permission", "An API key with scopes does not do this")
    return response.status_code == 403 and any(one in response.text for one in told)


def outcome_of(response: httpx.Response, route: Route) -> Outcome:
    if is_forbidden(response):
        return Outcome.FORBIDDEN
    if response.status_code == 404:
        return Outcome.NOT_FOUND
    allowed = {200, 201, 202, STATUSES.get(route, 200)}
    assert response.status_code in allowed, (route, response.status_code, response.text)
    return Outcome.DONE


BESIDES = {("GET", "/v1/models"): {Permission.BOTS_READ, Permission.TURNS_WRITE}}
"""What a route asks besides, for those who have the permission: others are told less."""


@dataclass
class Matrix:
    """Tries the routes as one role, and counts the cases."""

    whole: WholeEdge
    role: Role
    cases: int = 0
    read: dict[str, str] = field(default_factory=dict[str, str])

    async def visitor(self) -> Visitor:
        """Return the same user with a session of his own: some routes end it."""
        # What is revoked in the millisecond of a login is refused by it too.
        self.whole.entered.accounts.clock.advance(0.005)
        return await self.whole.visitor(self.role)

    async def check(self, route: Route, whose: Whose, ids: dict[str, str] | None = None) -> httpx.Response:
        visitor = await self.visitor()
        if whose is Whose.OWN and things_in(route):
            ids = await self._own(route, visitor)
        self.whole.bus.asked.clear()
        response = await send(self.whole.client, route, visitor.headers, ids)
        found = outcome_of(response, route)
        assert found is expected(route, self.role, whose), (route, whose, response.status_code, response.text)
        self._check_asked(route, visitor.user.id)
        self.cases += 1
        return response

    async def _own(self, route: Route, visitor: Visitor) -> dict[str, str]:
        """Return what is the visitor's own; what a route may change is made anew."""
        if route[0] == "GET" or expected(route, self.role, Whose.OWN) is Outcome.FORBIDDEN:
            self.read = self.read or await self.whole.things_of(visitor)
            return self.read
        return await self.whole.things_of(visitor, things_in(route))

    def _check_asked(self, route: Route, user_id: str) -> None:
        for asked in self.whole.bus.asked:
            assert asked.owner_id == user_id, (route, asked)
            is_admin = route[1].startswith(ADMIN)
            need = OF_OTHERS.get(asked.subject, asked.permission) if is_admin else asked.permission
            may_besides = need in BESIDES.get(route, ()) and need in PERMISSIONS[self.role]
            assert need in ROUTES[route] or may_besides, (route, asked)


@pytest.fixture
async def whole(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[WholeEdge]:
    async with open_whole_edge(tmp_path, accounts_file) as opened:
        yield opened


def routes_of(routers: Iterable[object]) -> Iterator[Route]:
    """Return the routes of an application."""
    for route in routers:
        if isinstance(route, Mount):
            assert route.path in FILES
        elif isinstance(route, APIWebSocketRoute):
            yield "WEBSOCKET", route.path
        else:
            assert isinstance(route, PlainRoute), route
            yield from ((method, route.path) for method in (route.methods or ()) if method != "HEAD")


def test_every_route_is_listed_and_nothing_else_is(whole: WholeEdge) -> None:
    assert set(routes_of(whole.app.routes)) == set(ROUTES) | OPEN_ROUTES


async def test_a_route_that_is_not_listed_lets_nobody_in(
    whole: WholeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(ROUTES, ("GET", "/api/users/me"))
    owner = await whole.visitor(Role.OWNER)
    assert (await whole.client.get("/api/users/me", headers=owner.headers)).status_code == 403


async def test_nobody_comes_in_without_saying_who_he_is(whole: WholeEdge) -> None:
    ended = await whole.visitor(Role.OWNER)
    end = EndSession(**as_user(ended.user), session_id=ended.tokens.session_id)
    await whole.entered.accounts.ask(subjects.ACCOUNTS_END_SESSION, end, Done)
    await until_refused(whole.client, ended.headers)
    whole.bus.asked.clear()
    shown: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer pk_wrong"},
        {"Cookie": "parley_session=a.9.b"},
        ended.headers,
    )
    answers = {
        (route, number): (await send(whole.client, route, headers)).status_code
        for route in HTTP
        for number, headers in enumerate(shown)
    }
    assert {case for case, status in answers.items() if status != 401} == set()
    assert whole.bus.asked == []
    print_row(f"{len(answers)} cases of strangers: all refused")


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_may_do_what_the_policy_says_and_nothing_more(whole: WholeEdge, role: Role) -> None:
    matrix = Matrix(whole, role)
    other = await whole.visitor(Role.MEMBER, "bob")
    others = await whole.things_of(other)
    for route in HTTP:
        shown = (await matrix.check(route, Whose.OWN)).text
        if not things_in(route):
            # Who looks after people sees what they have; nobody else sees anything of another's.
            hidden = set(others.values()) - {"1", "openai", others["invitation_id"]}
            hidden -= {others[name] for name in SEEN} if route[1].startswith(ADMIN) else set()
            assert not [one for one in hidden if one in shown], route
            continue
        of_others = await matrix.check(route, Whose.OTHERS, others)
        of_nobody = await matrix.check(route, Whose.NOBODYS, NEVER)
        if outcome_of(of_others, route) is Outcome.NOT_FOUND:
            assert seen(of_others, others) == seen(of_nobody, NEVER), route
    kept = await whole.visitor(Role.MEMBER, "bob")
    for path in ("conversations/{conversation_id}", "documents/{document_id}", "collections/{name}"):
        assert (await whole.client.get(f"/api/{path}".format(**others), headers=kept.headers)).is_success
    print_row(f"{matrix.cases} cases of {role}: as the policy says")


LOOKING_AFTER = [
    ("PATCH", "/api/admin/users/{user_id}"),
    ("DELETE", "/api/admin/users/{user_id}/sessions"),
    ("POST", "/api/admin/users/{user_id}/reset"),
]


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
async def test_people_are_looked_after_by_higher_roles_only(whole: WholeEdge, role: Role) -> None:
    for target_role in Role:
        target = await whole.visitor(target_role, f"the-{target_role}")
        for route in LOOKING_AFTER:
            whole.entered.accounts.clock.advance(0.005)
            visitor = await whole.visitor(role)
            response = await send(whole.client, route, visitor.headers, {"user_id": target.user.id})
            assert response.is_success == may_manage(role, target_role), (route, target_role, response.text)
            assert response.status_code in {200, 201, 403}


async def test_a_key_may_do_what_its_scopes_say_and_nothing_more(whole: WholeEdge) -> None:
    everything, cases = frozenset(Permission), 0
    other = await whole.visitor(Role.GUEST, "bob")
    ids = {"user_id": other.user.id}
    keys: dict[frozenset[Permission], dict[str, str]] = {}

    async def key(scopes: frozenset[Permission]) -> dict[str, str]:
        # A user may have so many keys and no more.
        keys[scopes] = keys.get(scopes) or await whole.key(*scopes)
        return keys[scopes]

    for route in HTTP:
        for needed in ROUTES[route]:
            response = await send(whole.client, route, await key(everything - {needed}), ids)
            assert is_forbidden(response), (route, response.text)
            cases += 1
        response = await send(whole.client, route, await key(frozenset(ROUTES[route])), ids)
        assert is_forbidden(response) == (route in WHOLE_ROUTES), (route, response.text)
        assert response.status_code != 401 or route in STATUSES, (route, response.text)
        cases += 1
    print_row(f"{cases} cases of keys with scopes: as the policy says")


@pytest.mark.parametrize("role", list(Role))
async def test_turns_and_conversations_of_others_are_not_gone_on_with(whole: WholeEdge, role: Role) -> None:
    visitor, other = await whole.visitor(role), await whole.visitor(Role.MEMBER, "bob")
    principal = Principal(visitor.user.id, role, session_id=visitor.tokens.session_id)
    own = await whole.things_of(visitor, {"conversation_id"})
    others = await whole.things_of(other, {"conversation_id"})
    own_id, others_id = (one["conversation_id"] for one in (own, others))

    async def start(conversation_id: str) -> ErrorCode | None:
        frame = StartTurnFrame(
            type="start_turn", text="Go on.", conversation_id=conversation_id, collections=(), model=MODEL
        )
        return await refusal(whole, principal, frame)

    assert await start(own_id) is None
    assert await start(others_id) is ErrorCode.NOT_FOUND
    assert await start("never-was") is ErrorCode.NOT_FOUND
    for turn_id, code in ((own["turn_id"], None), (others["turn_id"], ErrorCode.NOT_FOUND)):
        assert await refusal(whole, principal, turn_id) is code
    with pytest.raises(ParleyError) as refused:
        await whole.edge.door.cancel(principal, others["turn_id"])
    assert refused.value.code is ErrorCode.NOT_FOUND


def unseen(_: bytes, __: int) -> None:
    """Take frames that nobody looks at."""


async def refusal(whole: WholeEdge, principal: Principal, asked: StartTurnFrame | str) -> ErrorCode | None:
    """Start a turn, or resume the one of this id, as a socket does; return why it is refused."""
    door = whole.edge.door
    try:
        if isinstance(asked, StartTurnFrame):
            accepted = await door.start(principal, asked, unseen)
        else:
            accepted = await door.resume(principal, asked, 0, unseen)
    except ParleyError as error:
        return error.code
    await door.release(accepted.watch)
    return None
