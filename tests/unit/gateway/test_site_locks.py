"""What visitors may not: other pages, bots, sessions and routes, and addresses of their own."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from parley_contracts import subjects
from parley_contracts.accounts import ChangeUser, User, UserState
from parley_contracts.bots import Bot, DeleteBot
from parley_contracts.policy import Role
from parley_contracts.replies import Done
from parley_contracts.route_policy import ROUTES
from parley_gateway.visitor_tokens import VisitorTokens

from tests.unit.accounts.accounts_rig import OWNER, as_user
from tests.unit.gateway.http_edge import until
from tests.unit.gateway.site_edge import PAGE, SECRET, SiteEdge, open_site_edge
from tests.unit.gateway.test_authorisation import send

TOKENS = VisitorTokens(SECRET, lasts_s=3600)
OTHER_PAGE = "https://other.example"


@pytest.fixture
async def sites(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[SiteEdge]:
    async with open_site_edge(tmp_path, accounts_file) as opened:
        yield opened


async def begun(sites: SiteEdge, bot: Bot) -> tuple[str, str]:
    """Return session and token of a new visitor."""
    told = (await sites.ask(bot)).json()
    return told["session"], told["visitor_token"]


NOT_THE_PAGE = [
    None,
    "null",
    "",
    "*",
    OTHER_PAGE,
    "http://shop.example",
    "https://shop.example:443",
    "https://shop.example:8443",
    "https://shop.example/",
    "https://SHOP.example",
    "https://shop.example.evil.example",
    "https://evil-shop.example",
    "https://shop.example@evil.example",
    "https://shop.example, https://evil.example",
    "http://gateway",
]


async def test_a_page_that_is_not_allowed_is_told_nothing(sites: SiteEdge) -> None:
    bot = await sites.bot()
    _, token = await begun(sites, bot)
    sites.asked.clear()
    for origin in NOT_THE_PAGE:
        headers = {} if origin is None else {"Origin": origin}
        for response in (
            await sites.ask(bot, origin=origin),
            await sites.ask(bot, origin=origin, token=token),
            await sites.forget(bot, "x", token, origin),
            await sites.client.options(f"/api/chat/{bot.id}", headers=headers),
        ):
            assert response.status_code == 403, origin
            assert not [name for name in response.headers if name.startswith("access-control")]
    assert (sites.asked, len(sites.model.calls)) == ([], 1)


async def test_two_origins_are_none(sites: SiteEdge) -> None:
    bot = await sites.bot()
    headers = [("Origin", PAGE), ("Origin", PAGE), ("Content-Type", "application/json")]
    response = await sites.client.post(f"/api/chat/{bot.id}", content=b'{"text": "x"}', headers=headers)
    assert response.status_code == 400


async def test_the_body_of_a_page_that_is_not_allowed_is_not_read(sites: SiteEdge) -> None:
    bot, read = await sites.bot(), list[int]()

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b'{"text": "x"}'

    headers = {"Origin": OTHER_PAGE, "Content-Type": "application/json"}
    response = await sites.client.post(f"/api/chat/{bot.id}", content=body(), headers=headers)
    assert (response.status_code, read) == (403, [])


async def test_an_allowed_page_is_told_by_name_that_it_may_and_without_our_cookie(sites: SiteEdge) -> None:
    bot = await sites.bot(allowed_origins=[PAGE, OTHER_PAGE])
    for origin in (PAGE, OTHER_PAGE):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await sites.client.options(f"/api/chat/{bot.id}", headers=asked)
        answer = await sites.ask(bot, origin=origin)
        wrong = await sites.ask(bot, origin=origin, token="x")
        assert (preflight.status_code, answer.status_code, wrong.status_code) == (204, 200, 401)
        for response in (preflight, answer, wrong):
            assert response.headers["access-control-allow-origin"] == origin
            assert "Origin" in response.headers["vary"]
            assert "access-control-allow-credentials" not in response.headers
    assert "Parley-Visitor" in preflight.headers["access-control-allow-headers"]


async def test_a_token_is_good_for_its_bot_its_page_and_its_time_only(sites: SiteEdge) -> None:
    bot = await sites.bot(allowed_origins=[PAGE, OTHER_PAGE])
    other = await sites.bot()
    _, token = await begun(sites, bot)
    visitor = TOKENS.read(token, bot_id=bot.id, origin=PAGE)
    *parts, signature = token.split(".")
    now_s = int(time.time())
    expired = VisitorTokens(SECRET, lasts_s=0).issue(replace(visitor, expires_s=now_s - 1), PAGE)
    forged = VisitorTokens(b"\x02" * 32, lasts_s=3600).issue(visitor, PAGE)
    bad = {
        "another bot's": await sites.ask(other, token=token),
        "another page's": await sites.ask(bot, token=token, origin=OTHER_PAGE),
        "expired": await sites.ask(bot, token=expired),
        "another key's": await sites.ask(bot, token=forged),
        "unsigned": await sites.ask(bot, token=".".join((*parts, ""))),
        "another visitor's": await sites.ask(
            bot, token=".".join((parts[0], parts[1], "0" * 32, *parts[3:], signature))
        ),
        "another session's": await sites.ask(bot, token=token.replace(visitor.session, "a" * 32)),
        "of a later time": await sites.ask(bot, token=token.replace(parts[5], str(now_s + 10**6))),
        "of another bot by name": await sites.ask(other, token=token.replace(bot.id, other.id)),
        "no token": await sites.ask(bot, token="vt1"),
        "a number of other digits": await sites.ask(bot, token=".".join((*parts[:5], "9" * 30, signature))),
    }
    assert {name: one.status_code for name, one in bad.items()} == dict.fromkeys(bad, 401)
    assert len({one.json()["error"]["message"] for one in bad.values()}) == 1
    assert len(sites.model.calls) == 1
    assert (await sites.ask(bot, token=token)).status_code == 200


async def test_anothers_session_looks_like_one_that_never_was(sites: SiteEdge) -> None:
    bot = await sites.bot()
    hers, _ = await begun(sites, bot)
    _, his_token = await begun(sites, bot)
    sites.asked.clear()
    refused = [await sites.forget(bot, session, his_token) for session in (hers, "never-was")]
    assert {one.status_code for one in refused} == {404}
    assert len({one.json()["error"]["message"] for one in refused}) == 1
    assert (await sites.forget(bot, hers, None)).status_code == 401
    assert sites.asked == []


async def test_a_visitors_token_opens_nothing_else(sites: SiteEdge) -> None:
    _, token = await begun(sites, await sites.bot())
    sites.asked.clear()
    shown = (
        {"Authorization": f"Bearer {token}"},
        {"Parley-Visitor": token},
        {"Cookie": f"parley_session={token}"},
    )
    cases = 0
    for route in ROUTES:
        for headers in shown if route[0] != "WEBSOCKET" else ():
            response = await send(sites.client, route, {**headers, "Origin": PAGE})
            assert response.status_code == 401, route
            cases += 1
    assert cases == 3 * (len(ROUTES) - 1)
    assert sites.asked == []


async def test_a_key_or_a_cookie_makes_a_visitor_nobody_else(sites: SiteEdge) -> None:
    bot = await sites.bot()
    sites.asked.clear()
    told = await sites.ask(bot, **sites.owner.headers)
    visitor = TOKENS.read(told.json()["visitor_token"], bot_id=bot.id, origin=PAGE)
    assert {one.owner_id for one in sites.asked} == {visitor.owner_id}


async def test_a_visitor_has_nothing_fetched(sites: SiteEdge) -> None:
    bot = await sites.bot(tools=["web"])
    text = "Read http://169.254.169.254/latest/meta-data and https://example.org/ for me."
    path, headers = f"/api/chat/{bot.id}", {"Origin": PAGE}
    refused: list[dict[str, Any]] = [{"web": True}, {"collections": ["default"]}, {"model": "m1"}]
    for more in refused:
        response = await sites.client.post(path, json={"text": text, **more}, headers=headers)
        assert response.status_code == 400
    assert (await sites.ask(bot, text)).status_code == 200
    assert sites.asked_on(subjects.BROWSER_READ) | sites.asked_on(subjects.RAG_SEARCH) == set()
    assert [one.content for one in sites.model.calls[0].messages] == ["You guide.", text]


async def status_of(sites: SiteEdge, bot: Bot, token: str | None = None) -> int:
    return (await sites.ask(bot, token=token)).status_code


async def until_gone(sites: SiteEdge, bot: Bot) -> None:
    async with asyncio.timeout(5):
        while await status_of(sites, bot) != 404:  # noqa: ASYNC110 - an event has no answer
            await asyncio.sleep(0)


async def test_a_bot_that_is_gone_or_disabled_answers_nobody_any_more(sites: SiteEdge) -> None:
    bot, other = await sites.bot(), await sites.bot()
    _, token = await begun(sites, bot)
    await begun(sites, other)
    accounts = sites.whole.entered.accounts
    delete = DeleteBot(**as_user(sites.owner.user), bot_id=bot.id)
    await accounts.ask(subjects.ACCOUNTS_DELETE_BOT, delete, Done)
    await until_gone(sites, bot)
    assert await status_of(sites, bot, token) == 404
    assert (await sites.forget(bot, "x", token)).status_code == 404
    await sites.change(other, is_enabled=False)
    await until_gone(sites, other)
    assert await status_of(sites, bot) == 404


async def test_bots_of_a_user_who_is_disabled_or_may_have_none_answer_nobody(sites: SiteEdge) -> None:
    bot = await sites.bot()
    accounts, user = sites.whole.entered.accounts, sites.owner.user

    async def set_user(**fields: object) -> None:
        request = ChangeUser.model_validate({**OWNER, "user_id": user.id, **fields})
        await accounts.ask(subjects.ACCOUNTS_CHANGE_USER, request, User)

    async def is_answered() -> bool:
        return await status_of(sites, bot) == 200

    assert await is_answered()
    await set_user(new_role=Role.GUEST)
    await until(lambda: len(sites.edge.sites.bots) == 0)
    assert not await is_answered()
    await set_user(new_role=Role.MEMBER)
    await until(lambda: len(sites.edge.sites.bots) == 0)
    assert await is_answered()
    await set_user(state=UserState.DISABLED)
    await until(lambda: len(sites.edge.sites.bots) == 0)
    assert not await is_answered()


async def test_a_bot_that_never_was_is_not_found(sites: SiteEdge) -> None:
    sites.asked.clear()
    for bot_id in ("never-was", "x" * 65, "..", "%2e%2e", "a%00b", "\u20ac"):
        path, headers = f"/api/chat/{bot_id}", {"Origin": PAGE}
        response = await sites.client.post(path, json={"text": "x"}, headers=headers)
        assert response.status_code in {401, 404, 405}, bot_id
    assert sites.asked == []


async def test_a_question_is_bounded_before_it_is_read(sites: SiteEdge) -> None:
    bot, headers = await sites.bot(), {"Origin": PAGE, "Content-Type": "application/json"}
    large = b'{"text": "' + b"x" * 1_100_000 + b'"}'
    response = await sites.client.post(f"/api/chat/{bot.id}", content=large, headers=headers)
    assert response.status_code == 413
    for body in (b"{", b"[]", b'{"text": ""}', b'{"text": 1}', b'{"text": "\\ud800"}'):
        response = await sites.client.post(f"/api/chat/{bot.id}", content=body, headers=headers)
        assert response.status_code == 400, body
        assert response.headers["access-control-allow-origin"] == PAGE
