"""Stolen and forged credentials before two gateways: each is refused by both, in time."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from parley_accounts.kek_file import read_or_make_key
from parley_accounts.signing_keys import purpose_of
from parley_envelope.envelope import Envelope
from parley_identity.audit_export import verify_export
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.chaos.printed import print_row
from tests.integration.stack import Stack
from tests.stack_marks import STACK

pytestmark = STACK

GATEWAYS = (0, 1)
PASSWORD = "correct horse battery"
REFUSED_WITHIN_S = 1.0
ME = "/api/users/me"


class Person:
    """A member with a password, and what he sends to the gateways."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack = stack
        self.name = name

    async def post(self, path: str, body: dict[str, Any], gateway: int = 0) -> httpx.Response:
        async with self._stack.http(gateway, headers={}) as client:
            return await client.post(path, json=body)

    async def log_in(self) -> dict[str, Any]:
        response = await self.post("/api/auth/login", {"login": self.name, "password": PASSWORD})
        assert response.status_code == 200, response.text
        return response.json()

    async def refresh(self, tokens: dict[str, Any], gateway: int = 0) -> httpx.Response:
        return await self.post("/api/auth/refresh", {"refresh_token": tokens["refresh_token"]}, gateway)

    async def statuses(self, bearer: str, path: str = ME) -> set[int]:
        """Return how both gateways answer to somebody with this key or access token."""
        found: set[int] = set()
        for gateway in GATEWAYS:
            async with self._stack.http(gateway, headers={"Authorization": f"Bearer {bearer}"}) as client:
                found.add((await client.get(path)).status_code)
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def person(stack: Stack) -> AsyncGenerator[Person]:
    name = f"p{uuid4().hex[:12]}"
    async with stack.http() as owner:
        made = await owner.post("/api/admin/users", json={"name": name, "password": PASSWORD})
        assert made.status_code == 201, made.text
    yield Person(stack, name)


async def seconds_until(refused: Callable[[], Awaitable[bool]]) -> float:
    began_s = time.monotonic()
    async with asyncio.timeout(10 * REFUSED_WITHIN_S):
        while not await refused():  # noqa: ASYNC110 - a gateway tells nobody
            await asyncio.sleep(0.005)
    return time.monotonic() - began_s


async def test_a_refresh_token_that_is_used_twice_ends_its_session_on_both_gateways(person: Person) -> None:
    first = await person.log_in()
    second = (await person.refresh(first)).json()
    # The answer may have been lost: the very same successor comes again, from the other gateway too.
    assert (await person.refresh(first, gateway=1)).json()["refresh_token"] == second["refresh_token"]
    third = (await person.refresh(second)).json()
    assert await person.statuses(third["access_token"]) == {200}

    stolen = await person.refresh(first, gateway=1)
    took_s = await seconds_until(lambda: is_refused(person, third["access_token"]))
    print_row(f"its access token is refused {took_s:.3f} s after a refresh token was reused")
    assert stolen.status_code == 401
    assert took_s < REFUSED_WITHIN_S
    assert [(await person.refresh(one)).status_code for one in (first, second, third)] == [401] * 3
    assert await person.statuses(first["access_token"]) == {401}


async def test_the_drill_stands_in_the_audit_and_none_of_its_secrets_do(stack: Stack, person: Person) -> None:
    first = await person.log_in()
    second = (await person.refresh(first)).json()
    third = (await person.refresh(second)).json()
    assert (await person.refresh(first)).status_code == 401
    assert (
        await person.post("/api/auth/login", {"login": person.name, "password": "wrong"})
    ).status_code == 401
    session_id = jwt.decode(first["access_token"], options={"verify_signature": False})["sid"]
    async with stack.http() as owner:

        async def stands(**wanted: str) -> bool:
            found = await owner.get("/api/admin/audit", params=wanted)
            assert found.status_code == 200, found.text
            return bool(found.json()["rows"])

        async with asyncio.timeout(20):
            for wanted in (
                {"action": "session_opened", "object_id": session_id, "outcome": "done"},
                {"action": "refresh_token_reused", "object_id": session_id},
                {"action": "session_refreshed", "outcome": "refused"},
                {"action": "session_opened", "outcome": "refused"},
            ):
                while not await stands(**wanted):  # noqa: ASYNC110 - accounts tells nobody
                    await asyncio.sleep(0.05)
            verdict = (await owner.get("/api/admin/audit/verify")).json()
            while not verdict["anchored_seq"]:
                await asyncio.sleep(0.05)
                verdict = (await owner.get("/api/admin/audit/verify")).json()
        assert verdict["is_whole"], verdict
        assert verdict["is_compared"]
        export = (await owner.get("/api/admin/audit/export")).text
    assert '"address":"127.0.0.1"' in export
    secrets = (
        PASSWORD,
        person.name,
        *(one[name] for one in (first, third) for name in one if "token" in name),
    )
    assert not [secret for secret in secrets if secret in export]
    shown = verify_export(export.splitlines())
    assert (shown.is_whole, shown.begins_at_oldest, shown.reaches_head) == (True, True, True)
    async with httpx.AsyncClient() as client:
        counted = (await client.get(stack.metrics_url("accounts"))).text
    for line in (
        'parley_audit_broken{found_by="anchors"} 0.0',
        "parley_audit_missing_total 0.0",
        "parley_bus_refusals_total 0.0",
    ):
        assert line in counted.splitlines()
    print_row(f"the audit holds {verdict['rows']} rows, and {shown.rows} in its export")


async def is_refused(person: Person, bearer: str) -> bool:
    return await person.statuses(bearer) == {401}


async def test_what_is_revoked_is_refused_on_both_gateways_within_a_second(
    stack: Stack, person: Person
) -> None:
    tokens = await person.log_in()
    mine = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with stack.http(0, headers=mine) as client:
        key = (await client.post("/api/keys", json={"name": "k"})).json()
        assert await person.statuses(key["key"]) == {200}
        async with stack.chat(1, headers={"Authorization": f"Bearer {key['key']}"}) as chat:
            assert (await client.delete(f"/api/keys/{key['described']['id']}")).status_code == 200
            key_s = await seconds_until(lambda: is_refused(person, key["key"]))
            with pytest.raises(ConnectionClosed) as closed:
                await chat.next_frame()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        assert (await client.post("/api/auth/logout", json={})).status_code == 200
    token_s = await seconds_until(lambda: is_refused(person, tokens["access_token"]))
    print_row(f"refused by both: a revoked key after {key_s:.3f} s, an ended session after {token_s:.3f} s")
    assert max(key_s, token_s) < REFUSED_WITHIN_S


async def test_what_a_group_added_is_refused_on_both_gateways_within_a_second_of_leaving_it(
    stack: Stack, person: Person
) -> None:
    users = "/api/admin/users"
    tokens = await person.log_in()
    assert await person.statuses(tokens["access_token"], users) == {403}
    async with stack.http() as owner:
        made = {"name": person.name, "permissions": ["users:read"]}
        group = (await owner.post("/api/admin/groups", json=made)).json()
        member = f"/api/admin/groups/{group['id']}/members/{tokens['user']['id']}"
        assert (await owner.put(member)).status_code == 200
        joined_s = await seconds_until(lambda: is_refused(person, tokens["access_token"]))
        tokens = (await person.refresh(tokens)).json()
        async with stack.http(headers={"Authorization": f"Bearer {tokens['access_token']}"}) as client:
            key = (await client.post("/api/keys", json={"name": "k"})).json()["key"]
        for bearer in (tokens["access_token"], key):
            assert await person.statuses(bearer, users) == {200}
        assert (await owner.delete(member)).status_code == 200

    async def has_ended() -> bool:
        found = [await person.statuses(bearer, users) for bearer in (tokens["access_token"], key)]
        return found == [{401}, {403}]

    left_s = await seconds_until(has_ended)
    print_row(
        f"refused by both: what a group added {left_s:.3f} s after leaving it, "
        f"earlier tokens {joined_s:.3f} s"
    )
    assert max(joined_s, left_s) < REFUSED_WITHIN_S
    # The session and the key go on, without what the group added.
    tokens = (await person.refresh(tokens)).json()
    assert await person.statuses(tokens["access_token"]) == await person.statuses(key) == {200}
    assert await person.statuses(tokens["access_token"], users) == {403}


def signing_key(stack: Stack) -> tuple[str, Ed25519PrivateKey]:
    """Return the key that signs, as a thief of the data folder and its secrets would have it."""
    query = "SELECT kid, private_key FROM accounts_signing_keys WHERE place = 'current'"
    ((kid, sealed),) = stack.tables.rows("accounts", query)
    envelope = Envelope(read_or_make_key(stack.folder / "secrets"))
    return kid, Ed25519PrivateKey.from_private_bytes(envelope.open(sealed, purpose=purpose_of(kid)))


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forgeries(token: str, kid: str, key: Ed25519PrivateKey) -> dict[str, str]:
    said: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": kid}

    def signed(claims: dict[str, Any], by: Ed25519PrivateKey = key, **changed: str) -> str:
        return jwt.encode(claims, by, algorithm="EdDSA", headers={**header, **changed})

    def confused(secret: bytes) -> str:
        body = f"{part({**header, 'alg': 'HS256'})}.{part(said)}"
        tag = hmac.new(secret, body.encode(), hashlib.sha256).digest()
        return f"{body}.{base64.urlsafe_b64encode(tag).decode().rstrip('=')}"

    public = key.public_key().public_bytes_raw()
    head, body, signature = token.split(".")
    now_s = time.time()
    return {
        "no algorithm": f"{part({**header, 'alg': 'none'})}.{body}.",
        "no algorithm, with a signature": f"{part({**header, 'alg': 'None'})}.{body}.{signature}",
        "HMAC by the public key": confused(public),
        "HMAC by the public key as a JWK has it": confused(base64.urlsafe_b64encode(public).rstrip(b"=")),
        "no signature": f"{head}.{body}.",
        "another role": f"{head}.{part({**said, 'role': 'owner'})}.{signature}",
        "another audience": signed({**said, "aud": "somebody else"}),
        "another issuer": signed({**said, "iss": "parley:elsewhere"}),
        "expired": signed({**said, "iat": now_s - 700, "nbf": now_s - 700, "exp": now_s - 100}),
        "future": signed({**said, "iat": now_s + 300, "nbf": now_s + 300, "exp": now_s + 900}),
        "too long a life": signed({**said, "exp": now_s + 10**6}),
        "another key under its name": signed(said, Ed25519PrivateKey.generate()),
        "a key nobody knows": signed(said, Ed25519PrivateKey.generate(), kid="nobodys"),
        "another kind": signed(said, typ="JWT"),
    }


async def test_forged_tokens_are_refused_by_both_gateways(stack: Stack, person: Person) -> None:
    tokens = await person.log_in()
    kid, key = signing_key(stack)
    genuine: dict[str, Any] = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    same = jwt.encode(genuine, key, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": kid})
    # What is forged differs in one thing from what is taken.
    assert await person.statuses(same) == {200}
    forged = forgeries(tokens["access_token"], kid, key)
    found = {name: await person.statuses(text) for name, text in forged.items()}
    print_row(f"{len(found)} forged tokens at {len(GATEWAYS)} gateways")
    assert found == {name: {401} for name in forged}


async def test_a_key_that_may_not_chat_opens_no_socket(stack: Stack) -> None:
    async with stack.http() as owner:
        made = await owner.post("/api/keys", json={"name": "k", "scopes": ["models:read"]})
        headers = {"Authorization": f"Bearer {made.json()['key']}"}
        assert (await owner.get("/v1/models", headers=headers)).status_code == 200
    with pytest.raises(InvalidStatus) as refused:
        async with stack.chat(headers=headers):
            pass
    assert refused.value.response.status_code == 403


async def test_both_gateways_serve_those_they_know_while_accounts_is_away(
    stack: Stack, person: Person
) -> None:
    tokens = await person.log_in()
    ended = await person.log_in()
    assert await person.statuses(stack.owner_key) == {200}
    assert (await person.post("/api/auth/session", {"key": stack.owner_key})).status_code == 200
    async with stack.http(headers={"Authorization": f"Bearer {ended['access_token']}"}) as client:
        await client.post("/api/auth/logout", json={})
    assert await seconds_until(lambda: is_refused(person, ended["access_token"])) < REFUSED_WITHIN_S
    async with stack.without("accounts"):
        assert await person.statuses(stack.owner_key) == {200}
        assert await person.statuses(tokens["access_token"]) == {200}
        assert await person.statuses(ended["access_token"]) == {401}
        assert await person.statuses("pk_never_seen") == {503}
        assert (await person.refresh(tokens)).status_code == 503
        async with stack.chat() as chat:
            turn = await chat.ask("Who is there?", model="extractive", collections=[])
        assert turn.ending["type"] == "turn_completed", turn.ending
    assert (await person.refresh(tokens)).status_code == 200
    assert await person.statuses("pk_never_seen") == {401}


async def test_a_person_sees_nothing_of_the_owners(stack: Stack, person: Person) -> None:
    tokens = await person.log_in()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with stack.chat() as chat:
        turn = await chat.ask("A secret of the owner's.", model="extractive", collections=[])
    path = f"/api/conversations/{turn.conversation_id}"
    async with stack.http() as owner, stack.http(1, headers=headers) as other:
        assert (await owner.get(path)).status_code == 200
        refused = await other.get(path)
        never = await other.get("/api/conversations/never-was")
        listed = (await other.get("/api/conversations")).json()["conversations"]
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        never.status_code,
        never.json()["error"]["message"],
    )
    assert listed == []
    async with stack.chat(1, headers=headers) as chat:
        answer = await chat.answer_to({"type": "resume_turn", "turn_id": turn.turn_id})
        assert answer["code"] == "not_found"
        own = await chat.ask("My own.", model="extractive", collections=[])
    assert own.ending["type"] == "turn_completed", own.ending
