"""Notices over HTTP, before a real accounts service: told live on every gateway, and only to their user."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from parley_contracts import subjects
from parley_contracts.accounts import EndSession, SessionTokens, User
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import NoticeKind
from parley_contracts.policy import Role
from parley_contracts.replies import Done
from parley_gateway import notice_events
from parley_gateway.notice_events import NoticeEvents
from parley_gateway.principal import Principal
from parley_gateway.sockets import Sockets

from tests.unit.accounts.accounts_rig import PASSWORD, as_user
from tests.unit.accounts.notices_rig import tell
from tests.unit.gateway.accounts_edge import Entered, open_identities
from tests.unit.gateway.http_edge import open_edge

WAIT_S = 10


@dataclass(frozen=True)
class Ada:
    """Somebody who is logged in, at two gateways."""

    entered: Entered
    user: User
    tokens: SessionTokens
    first: httpx.AsyncClient
    second: httpx.AsyncClient

    @property
    def principal(self) -> Principal:
        return Principal(self.user.id, Role.MEMBER, session_id=self.tokens.session_id)

    async def tell(self, kind: NoticeKind = NoticeKind.EXPORT_READY) -> None:
        await tell(self.entered.accounts, self.user, kind)
        self.entered.accounts.parts.outbox.wake()


@pytest.fixture
async def ada(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[Ada]:
    async with (
        open_identities(tmp_path, accounts_file) as entered,
        open_edge(entered.accounts.bus, tmp_path, entered.identities) as first,
        open_edge(entered.accounts.bus, tmp_path, entered.identities) as second,
    ):
        user = await entered.accounts.user("ada")
        tokens = await entered.accounts.log_in("ada", PASSWORD)
        for client in (first, second):
            client.headers["Authorization"] = f"Bearer {tokens.access_token}"
        yield Ada(entered, user, tokens, first, second)


def said(line: bytes) -> dict[str, Any]:
    return json.loads(line.decode().partition("data: ")[2])


async def next_notices(lines: AsyncIterator[bytes]) -> dict[str, Any]:
    """Return what is told next, past lines that only keep the connection."""
    async with asyncio.timeout(WAIT_S):
        while True:
            line = await anext(lines)
            if line.startswith(b"event: notices"):
                return said(line)


async def test_notices_are_listed_and_read_and_settings_changed(ada: Ada) -> None:
    await ada.tell()
    page = (await ada.first.get("/api/notices")).json()
    assert (page["unread"], [one["kind"] for one in page["notices"]]) == (1, ["export.ready"])
    marked = await ada.first.post("/api/notices/read", json={"ids": [page["notices"][0]["id"]]})
    assert marked.json() == {"type": "notices_read", "changed": 1, "unread": 0}
    body = {"choices": [{"kind": "export.ready", "in_app": False}]}
    changed = (await ada.first.patch("/api/notices/settings", json=body)).json()
    assert changed == (await ada.second.get("/api/notices/settings")).json()
    await ada.tell()
    assert len((await ada.first.get("/api/notices")).json()["notices"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/notices?limit=0", None),
        ("GET", "/api/notices?cursor=x", None),
        ("GET", "/api/notices/events?for_s=-1", None),
        ("POST", "/api/notices/read", {"ids": [""]}),
        ("PATCH", "/api/notices/settings", {"choices": []}),
        ("PATCH", "/api/notices/settings", {"choices": [{"kind": "x"}]}),
        ("POST", "/api/webhooks", {"url": "ftp://example.org/"}),
        ("POST", "/api/webhooks", {"url": "http://10.0.0.1/"}),
        ("POST", "/api/webhooks", {"url": "https://example.org/", "kinds": []}),
        ("POST", "/api/auth/forgot", {"login": ""}),
    ],
)
async def test_what_is_asked_wrongly_is_refused_by_the_name_of_the_field(
    ada: Ada, method: str, path: str, body: dict[str, Any] | None
) -> None:
    response = await ada.first.request(method, path, json=body)
    error = response.json()["error"]
    assert response.status_code in {400, 403}, response.text
    assert error["code"] in {"invalid_request", "refused_address"}
    fields = {"limit", "cursor", "for_s", "ids", "choices", "kind", "url", "kinds", "login"}
    assert [one for one in fields if one in error["message"]], error


async def test_a_webhook_is_made_tried_changed_and_removed_and_its_secret_told_once(ada: Ada) -> None:
    made = await ada.first.post("/api/webhooks", json={"url": "http://127.0.0.1:9/"})
    assert made.status_code == 201
    secret, path = made.json()["secret"], f"/api/webhooks/{made.json()['webhook']['id']}"
    assert secret.startswith("whsec_")
    assert (await ada.first.post(f"{path}/test")).json()["is_delivered"] is False
    changed = await ada.first.patch(path, json={"is_enabled": False, "kinds": ["key.created"]})
    assert (changed.json()["state"], changed.json()["kinds"]) == ("disabled", ["key.created"])
    assert (await ada.first.post(f"{path}/secret")).json()["secret"] != secret
    for seen in (await ada.first.get("/api/webhooks"), await ada.first.get(path)):
        assert "whsec_" not in seen.text
    assert (await ada.first.delete(path)).status_code == 200
    assert (await ada.first.get(path)).status_code == 404


async def test_who_forgot_his_password_is_answered_like_everybody(ada: Ada) -> None:
    del ada.first.headers["Authorization"]
    answers = [await ada.first.post("/api/auth/forgot", json={"login": login}) for login in ("ada", "nobody")]
    assert [(one.status_code, one.json()) for one in answers] == [(202, {"type": "done"})] * 2


async def test_a_notice_is_told_live_on_both_gateways(ada: Ada) -> None:
    bus = ada.entered.accounts.bus
    watches = [NoticeEvents(bus, ada.principal) for _ in range(2)]
    for one in watches:
        await one.open()
    streams = [one.events() for one in watches]
    assert [(await next_notices(lines))["unread"] for lines in streams] == [0, 0]
    await ada.tell()
    told = [await next_notices(lines) for lines in streams]
    assert [one["unread"] for one in told] == [1, 1]
    assert told[0] == told[1]
    await ada.first.post("/api/notices/read", json={})
    assert [(await next_notices(lines))["unread"] for lines in streams] == [0, 0]
    for lines in streams:
        await lines.aclose()


async def test_what_others_are_told_is_not_heard(ada: Ada) -> None:
    bob = await ada.entered.accounts.user("bob")
    watch = NoticeEvents(ada.entered.accounts.bus, ada.principal)
    await watch.open()
    lines = watch.events()
    await next_notices(lines)
    await tell(ada.entered.accounts, bob, NoticeKind.EXPORT_READY)
    await ada.tell(NoticeKind.ROLE_CHANGED)
    told = await next_notices(lines)
    assert [one["kind"] for one in told["notices"]] == ["role.changed"]
    await lines.aclose()


async def test_a_change_that_was_missed_is_made_up_for(ada: Ada, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_events, "SILENCE_S", 0.02)
    watch = NoticeEvents(ada.entered.accounts.bus, ada.principal)
    await watch.open()
    lines = watch.events()
    await next_notices(lines)
    ada.entered.accounts.bus.drop()
    await ada.tell()
    assert (await next_notices(lines))["unread"] == 1
    await lines.aclose()


async def test_a_client_that_asks_for_a_moment_hears_how_it_stands_and_no_more(ada: Ada) -> None:
    await ada.tell()
    response = await ada.first.get("/api/notices/events?for_s=0")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert said(response.content)["unread"] == 1
    assert response.text.count("event: ") == 1


async def test_who_is_logged_out_hears_no_more(ada: Ada) -> None:
    sockets, watch = Sockets(), NoticeEvents(ada.entered.accounts.bus, ada.principal)
    ada.entered.identities.revoked.on_revoked(sockets.expel)
    await watch.open()
    with sockets.watching(watch.end, ada.principal):
        lines = watch.events()
        await next_notices(lines)
        end = EndSession(**as_user(ada.user), session_id=ada.tokens.session_id)
        await ada.entered.accounts.ask(subjects.ACCOUNTS_END_SESSION, end, Done)
        async with asyncio.timeout(WAIT_S):
            assert [line async for line in lines if line.startswith(b"event:")] == []


async def test_a_gateway_that_stops_ends_what_is_watched(ada: Ada) -> None:
    sockets, watch = Sockets(), NoticeEvents(ada.entered.accounts.bus, ada.principal)
    await watch.open()
    with sockets.watching(watch.end, ada.principal):
        lines = watch.events()
        await next_notices(lines)
        await sockets.finish()
        async with asyncio.timeout(WAIT_S):
            assert [line async for line in lines] == []
    with pytest.raises(ParleyError) as stopping, sockets.watching(watch.end):
        pass
    assert stopping.value.code is ErrorCode.UNAVAILABLE
