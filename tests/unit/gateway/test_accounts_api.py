"""Coming in, leaving and looking after people over HTTP, before a real accounts service."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from parley_gateway.identity import SESSION_COOKIE

from tests.unit.accounts.accounts_rig import OWNER_KEY, PASSWORD
from tests.unit.gateway.accounts_edge import Entered, open_identities
from tests.unit.gateway.http_edge import open_edge, until_refused

ORIGIN = {"Origin": "http://gateway"}


@dataclass(frozen=True)
class Visitors:
    """Clients of one gateway: with the owner's key, and with nothing."""

    entered: Entered
    owner: httpx.AsyncClient
    stranger: httpx.AsyncClient

    async def invited(self, name: str, role: str = "member") -> dict[str, Any]:
        """Have somebody become a user, and return the tokens of his first login."""
        link = (await self.owner.post("/api/admin/invitations", json={"role": role})).json()
        body = {"token": link["token"], "name": name, "password": PASSWORD}
        assert (await self.stranger.post("/api/auth/invitation", json=body)).status_code == 201
        return (
            await self.stranger.post("/api/auth/login", json={"login": name, "password": PASSWORD})
        ).json()


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.fixture
async def visitors(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[Visitors]:
    async with (
        open_identities(tmp_path, accounts_file) as entered,
        open_edge(entered.accounts.bus, tmp_path, entered.identities) as owner,
        open_edge(entered.accounts.bus, tmp_path, entered.identities) as stranger,
    ):
        owner.headers["Authorization"] = f"Bearer {OWNER_KEY}"
        del stranger.headers["Authorization"]
        yield Visitors(entered, owner, stranger)


async def test_who_is_invited_logs_in_and_is_his_own_owner(visitors: Visitors) -> None:
    tokens = await visitors.invited("ada")
    me = (await visitors.stranger.get("/api/users/me", headers=bearer(tokens))).json()
    assert me["owner_id"] == tokens["user"]["id"] != "local-owner"
    assert (me["role"], "users:read" in me["permissions"]) == ("member", False)
    assert (await visitors.owner.get("/api/users/me")).json()["owner_id"] == "local-owner"
    listed = (await visitors.owner.get("/api/admin/users")).json()["users"]
    assert [one["name"] for one in listed] == ["ada", "owner"]
    assert (await visitors.owner.get("/api/admin/invitations")).json()["invitations"] == []


async def test_a_link_is_good_once(visitors: Visitors) -> None:
    link = (await visitors.owner.post("/api/admin/invitations", json={})).json()
    body = {"token": link["token"], "name": "ada", "password": PASSWORD}
    first = await visitors.stranger.post("/api/auth/invitation", json=body)
    second = await visitors.stranger.post("/api/auth/invitation", json={**body, "name": "bob"})
    assert (first.status_code, second.status_code) == (201, 404)
    void = (await visitors.owner.post("/api/admin/invitations", json={})).json()
    assert (await visitors.owner.delete(f"/api/admin/invitations/{void['id']}")).status_code == 200
    refused = await visitors.stranger.post("/api/auth/invitation", json={**body, "token": void["token"]})
    assert refused.json()["error"]["message"] == second.json()["error"]["message"]


async def test_a_reset_sets_a_password_and_ends_what_was_open(visitors: Visitors) -> None:
    tokens = await visitors.invited("ada")
    link = (await visitors.owner.post(f"/api/admin/users/{tokens['user']['id']}/reset")).json()
    body = {"token": link["token"], "password": "another good password"}
    assert (await visitors.stranger.post("/api/auth/reset", json=body)).status_code == 200
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert (await visitors.stranger.post("/api/auth/refresh", json=refresh)).status_code == 401
    login = {"login": "ada", "password": PASSWORD}
    assert (await visitors.stranger.post("/api/auth/login", json=login)).status_code == 401
    login["password"] = "another good password"
    assert (await visitors.stranger.post("/api/auth/login", json=login)).status_code == 200


async def test_a_password_is_changed_by_the_present_one(visitors: Visitors) -> None:
    tokens = await visitors.invited("ada")
    body = {"current_password": "wrong password", "new_password": "another good password"}
    refused = await visitors.stranger.post("/api/auth/password", json=body, headers=bearer(tokens))
    body["current_password"] = PASSWORD
    taken = await visitors.stranger.post("/api/auth/password", json=body, headers=bearer(tokens))
    assert (refused.status_code, taken.status_code) == (401, 200)
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert (await visitors.stranger.post("/api/auth/refresh", json=refresh)).status_code == 200


@pytest.mark.parametrize("proof", [{"key": OWNER_KEY}, {"login": "ada", "password": PASSWORD}])
async def test_a_browser_comes_in_by_a_key_or_a_password_and_leaves(
    visitors: Visitors, proof: dict[str, str]
) -> None:
    await visitors.invited("ada")
    browser = visitors.stranger
    assert (await browser.get("/")).headers["location"] == "/login"
    opened = await browser.post("/api/auth/session", json=proof)
    assert (opened.status_code, "httponly" in opened.headers["set-cookie"].lower()) == (200, True)
    assert (await browser.get("/")).status_code == 200
    assert (await browser.get("/api/users/me")).json()["owner_id"] == opened.json()["owner_id"]
    kept = browser.cookies[SESSION_COOKIE]
    assert (await browser.delete("/api/auth/session")).status_code == 403
    assert (await browser.delete("/api/auth/session", headers=ORIGIN)).status_code == 200
    browser.cookies.set(SESSION_COOKIE, kept, domain="gateway.local")
    await until_refused(browser, {})


@pytest.mark.parametrize(
    "proof",
    [
        {},
        {"login": "ada"},
        {"password": PASSWORD},
        {"key": OWNER_KEY, "login": "ada", "password": PASSWORD},
    ],
)
async def test_a_browser_shows_one_proof(visitors: Visitors, proof: dict[str, str]) -> None:
    refused = await visitors.stranger.post("/api/auth/session", json=proof)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/auth/session"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/refresh"),
        ("POST", "/api/auth/invitation"),
        ("POST", "/api/auth/reset"),
        ("POST", "/api/auth/password"),
        ("PATCH", "/api/auth/me"),
        ("POST", "/api/keys"),
        ("POST", "/api/admin/users"),
        ("PATCH", "/api/admin/users/local-owner"),
        ("POST", "/api/admin/invitations"),
        ("POST", "/api/admin/signing-keys/rotate"),
    ],
)
async def test_what_a_body_may_not_hold_is_named_and_not_passed_over(
    visitors: Visitors, method: str, path: str
) -> None:
    refused = await visitors.owner.request(method, path, json={"owner_id": "somebody", "scope": []})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")


async def test_strangers_all_hear_the_same(visitors: Visitors) -> None:
    await visitors.invited("ada")
    answers = {
        (await visitors.stranger.post("/api/auth/login", json={"login": login, "password": password})).json()[
            "error"
        ]["message"]
        for login, password in (("ada", "wrong password"), ("nobody", PASSWORD), ("owner", PASSWORD))
    }
    assert len(answers) == 1


async def test_keys_are_made_listed_and_revoked(visitors: Visitors) -> None:
    tokens = await visitors.invited("ada")
    body = {"name": "script", "scopes": ["models:read"]}
    made = await visitors.stranger.post("/api/keys", json=body, headers=bearer(tokens))
    assert made.status_code == 201
    with_key = {"Authorization": f"Bearer {made.json()['key']}"}
    me = (await visitors.stranger.get("/api/conversations", headers=with_key)).json()["error"]
    assert (me["code"], "conversations:read" in me["message"]) == ("forbidden", True)
    listed = (await visitors.stranger.get("/api/keys", headers=bearer(tokens))).json()["keys"]
    assert [(one["name"], one["scopes"]) for one in listed] == [("script", ["models:read"])]
    path = f"/api/keys/{listed[0]['id']}"
    assert (await visitors.stranger.delete(path, headers=bearer(tokens))).status_code == 200
    await until_refused(visitors.stranger, with_key)


async def test_an_admin_looks_after_members_and_not_after_owners(visitors: Visitors) -> None:
    admin = bearer(await visitors.invited("eve", "admin"))
    ada = await visitors.invited("ada")
    path = f"/api/admin/users/{ada['user']['id']}"
    sessions = (await visitors.stranger.get(f"{path}/sessions", headers=admin)).json()["sessions"]
    assert [one["id"] for one in sessions] == [ada["session_id"]]
    changed = await visitors.stranger.patch(path, json={"state": "disabled"}, headers=admin)
    assert (changed.status_code, changed.json()["state"]) == (200, "disabled")
    for answer in (
        await visitors.stranger.patch("/api/admin/users/local-owner", json={"role": "guest"}, headers=admin),
        await visitors.stranger.delete("/api/admin/users/local-owner/sessions", headers=admin),
        await visitors.stranger.post("/api/admin/users", json={"name": "x", "role": "admin"}, headers=admin),
        await visitors.stranger.post("/api/admin/signing-keys/rotate", json={}, headers=admin),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_leaving_everywhere_ends_what_is_shown_too(visitors: Visitors) -> None:
    tokens = await visitors.invited("ada")
    ended = await visitors.stranger.delete("/api/auth/sessions", headers=bearer(tokens))
    assert ended.status_code == 200
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert (await visitors.stranger.post("/api/auth/refresh", json=refresh)).status_code == 401
