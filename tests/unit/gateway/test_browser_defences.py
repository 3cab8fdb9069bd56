"""What the edge tells browsers, and what it takes from them: headers, cookies, bodies, CORS."""

import os
import re
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from parley_contracts.login_code import LOGIN_CODE_S, LOGIN_CODES_FOLDER, code_file
from parley_gateway.http_errors import SECURITY_HEADERS
from parley_gateway.login_codes import LoginCodes
from parley_gateway.pages import PAGE_FOLDER
from parley_gateway.settings import GatewaySettings
from parley_messaging.memory_bus import MemoryBus
from pydantic import ValidationError

from tests.unit.gateway.http_edge import KEY, open_edge

APP = "https://app.example.org"
PATHS = [
    "/login",
    "/docs",
    "/livez",
    "/openapi.json",
    "/api/users/me",
    "/nowhere",
    "/page/chat.js",
    "/page/x",
]


@pytest.fixture
async def bus() -> AsyncGenerator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


@pytest.fixture
async def client(bus: MemoryBus, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with open_edge(bus, tmp_path) as client:
        yield client


@pytest.fixture
async def secure(bus: MemoryBus, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    async with open_edge(bus, tmp_path, base_url="https://chat.example.org") as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_carries_the_headers(
    client: httpx.AsyncClient, secure: httpx.AsyncClient, path: str
) -> None:
    for keyed in ({}, {"Authorization": "Bearer wrong"}):
        plain = await client.get(path, headers=keyed)
        assert SECURITY_HEADERS.items() <= {name.title(): v for name, v in plain.headers.items()}.items()
        policy = plain.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy or path == "/docs"
        assert "script-src 'self' 'unsafe" not in policy
        assert "strict-transport-security" not in plain.headers
        over_tls = await secure.get(path, headers=keyed)
        assert over_tls.headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "a.localhost"])
async def test_a_host_that_is_everybodys_is_not_bound_to_tls(secure: httpx.AsyncClient, host: str) -> None:
    response = await secure.get("/livez", headers={"Host": host})
    assert response.status_code == 200
    assert "strict-transport-security" not in response.headers


async def test_what_is_somebodys_is_stored_by_no_cache(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert (await client.get("/api/users/me", headers=headers)).headers["cache-control"] == "no-store"


def test_pages_hold_no_inline_script_or_style_and_name_no_other_host() -> None:
    for page in PAGE_FOLDER.glob("*.html"):
        text = page.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text), page.name
        assert not re.search(r"(src|href|action)=\"(https?:)?//", text), page.name


async def test_the_cookie_of_a_session_is_bound_as_tightly_as_it_can_be(
    client: httpx.AsyncClient, secure: httpx.AsyncClient
) -> None:
    plain = (await client.post("/api/auth/session", json={"key": KEY})).headers["set-cookie"]
    assert plain.startswith("parley_session=")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(plain.split("; "))
    assert "Secure" not in plain
    tight = (await secure.post("/api/auth/session", json={"key": KEY})).headers["set-cookie"]
    assert tight.startswith("__Host-parley_session=")
    assert {"HttpOnly", "Path=/", "SameSite=strict", "Secure"} <= set(tight.split("; "))
    assert "domain" not in tight.lower()
    origin = {"Origin": "https://chat.example.org"}
    del secure.headers["Authorization"]
    gone = await secure.delete("/api/auth/session", headers=origin)
    assert gone.status_code == 200
    assert gone.headers["set-cookie"].startswith('__Host-parley_session=""')
    assert {"HttpOnly", "Path=/", "Secure", "Max-Age=0"} <= set(gone.headers["set-cookie"].split("; "))


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_a_foreign_page_logs_nobody_in(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    response = await client.post("/api/auth/session", json={"key": KEY}, headers=headers)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


UNSAFE = [
    ("POST", "/api/attachments"),
    ("DELETE", "/api/attachments/a"),
    ("POST", "/api/search"),
    ("POST", "/api/documents"),
    ("POST", "/api/documents/url"),
    ("POST", "/api/collections"),
    ("POST", "/api/feedback"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("PATCH", "/api/conversations/c"),
    ("DELETE", "/api/conversations/c"),
    ("DELETE", "/api/auth/session"),
]


@pytest.mark.parametrize(("method", "path"), UNSAFE)
@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ],
)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", None])
async def test_a_foreign_page_changes_nothing_with_our_cookie(
    client: httpx.AsyncClient, method: str, path: str, kind: str, origin: str | None
) -> None:
    await client.post("/api/auth/session", json={"key": KEY})
    del client.headers["Authorization"]
    headers = {"Content-Type": kind} | ({"Origin": origin} if origin is not None else {})
    response = await client.request(method, path, content=b"{}", headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api/search", "text/plain"),
        ("/api/search", ""),
        ("/api/search", "multipart/form-data; boundary=x"),
        ("/api/auth/session", "text/plain"),
        ("/v1/chat/completions", "application/x-www-form-urlencoded"),
        ("/api/documents", "application/json"),
        ("/api/documents", "application/pdf"),
    ],
)
async def test_a_body_of_another_kind_is_refused_before_it_is_read(
    client: httpx.AsyncClient, path: str, kind: str
) -> None:
    response = await client.post(path, content=b'{"query": "x"}', headers={"Content-Type": kind})
    assert response.status_code == 415
    assert response.json()["error"]["code"] == "unsupported_type"


async def preflight(client: httpx.AsyncClient, origin: str, **headers: str) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", **headers}
    return await client.options("/api/search", headers={**asked, "Authorization": ""})


async def test_without_a_setting_no_page_of_another_origin_may_read(client: httpx.AsyncClient) -> None:
    for response in (
        await preflight(client, APP),
        await client.get("/api/users/me", headers={"Origin": APP}),
    ):
        assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_with_it_the_pages_of_exact_origins_may_and_without_our_cookie(
    bus: MemoryBus, tmp_path: Path
) -> None:
    async with open_edge(bus, tmp_path, gateway_origins=APP) as client:
        asked = {"Access-Control-Request-Headers": "authorization,content-type"}
        allowed = await preflight(client, APP, **asked)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, APP)
        read = await client.get("/api/users/me", headers={"Origin": APP})
        assert read.headers["access-control-allow-origin"] == APP
        assert "Origin" in read.headers["vary"]
        for response in (allowed, read):
            assert "access-control-allow-credentials" not in response.headers
        for other in ("https://app.example.org.evil.example", "http://app.example.org", "null", "*"):
            refused = await preflight(client, other, **asked)
            assert refused.status_code == 400
            assert "access-control-allow-origin" not in refused.headers
        assert (
            await preflight(client, APP, **{"Access-Control-Request-Headers": "cookie"})
        ).status_code == 400


@pytest.mark.parametrize(
    "settings",
    [
        {"gateway_origins": "*"},
        {"gateway_origins": "null"},
        {"gateway_trusted_proxies": "everybody"},
        {"tls_cert": "/x.pem"},
    ],
)
def test_settings_that_would_open_a_door_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate(settings)


def write_code(secrets: Path, code: str) -> Path:
    folder = secrets / LOGIN_CODES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / code_file(code)
    path.touch()
    return path


async def test_a_login_link_is_good_once(client: httpx.AsyncClient, tmp_path: Path) -> None:
    write_code(tmp_path / "secrets", "code-1")
    answers = [await client.post("/api/auth/session", json={"code": "code-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert "set-cookie" not in answers[1].headers


@pytest.mark.parametrize("body", [{}, {"key": KEY, "code": "c"}, {"code": ""}, {"code": None}])
async def test_a_login_names_a_key_or_a_code(client: httpx.AsyncClient, body: dict[str, str]) -> None:
    assert (await client.post("/api/auth/session", json=body)).status_code == 400


def test_a_code_ends_with_its_time_and_leads_to_no_other_file(tmp_path: Path) -> None:
    codes = LoginCodes(tmp_path)
    old = write_code(tmp_path, "old")
    then_s = time.time() - LOGIN_CODE_S - 1
    os.utime(old, (then_s, then_s))
    outside = tmp_path / "owner.key"
    outside.write_text("k")
    for code in ("old", "../owner.key", "/etc/passwd", "\x00", "\ud800", "never-made"):
        assert not codes.take(code)
    assert outside.exists()


@pytest.mark.parametrize(
    ("trusted", "is_believed"), [("127.0.0.1", True), ("", False), ("10.0.0.0/8", False)]
)
async def test_a_browser_behind_a_proxy_logs_in_when_the_proxy_is_known(
    bus: MemoryBus, tmp_path: Path, trusted: str, is_believed: bool
) -> None:
    async with open_edge(bus, tmp_path, gateway_trusted_proxies=trusted) as client:
        del client.headers["Authorization"]
        headers = {
            "Origin": "https://chat.example.org",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "chat.example.org",
        }
        response = await client.post("/api/auth/session", json={"key": KEY}, headers=headers)
        assert response.status_code == (200 if is_believed else 403)
        assert response.headers.get("set-cookie", "").startswith("__Host-") is is_believed
