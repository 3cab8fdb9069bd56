"""From which pages a browser may send something: every way of looking like one of ours."""

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_gateway.identity import SECURE_SESSION_COOKIE, SESSION_COOKIE, Doorkeeper, Secrets
from parley_gateway.origins import Origins, read_origins, whole_origin

from tests.unit.gateway.known_keys import OWNER, KnownKeys

ALLOWED = "https://app.example.org"
DOORKEEPER = Doorkeeper(
    KnownKeys({"pk_right": OWNER}, {"session-1": OWNER}),
    Secrets("pk_right", b"\x01" * 32),
    session_s=86_400,
    origins=Origins(read_origins(ALLOWED)),
)
SESSION = DOORKEEPER.new_session("session-1")
KEY = {"authorization": "Bearer pk_right"}
HOST = "127.0.0.1:8000"
FOREIGN = [
    "null",
    "",
    "http://evil.example",
    "http://127.0.0.1",
    "http://127.0.0.1:8001",
    "http://127.0.0.1:80008000",
    "https://127.0.0.1:8000",
    "http://127.0.0.1:8000.evil.example",
    "http://127.0.0.1:8000@evil.example",
    "http://evil.example#http://127.0.0.1:8000",
    "http://evil.example, http://127.0.0.1:8000",
    "http://127.0.0.1:8000 http://evil.example",
    "http://127.0.0.1:8000/",
    "http://[::1]:8000",
    "http://localhost:8000",
    "http://[",
    "file://",
    "chrome-extension://127.0.0.1:8000",
    "//127.0.0.1:8000",
    "127.0.0.1:8000",
]


async def refusal(method: str, headers: dict[str, str], scheme: str = "http") -> ErrorCode | None:
    try:
        await DOORKEEPER.identify(method, headers, scheme)
    except ParleyError as error:
        return error.code
    return None


def cookie(scheme: str = "http") -> dict[str, str]:
    name = SECURE_SESSION_COOKIE if scheme in ("https", "wss") else SESSION_COOKIE
    return {"cookie": f"{name}={SESSION}"}


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("credentials", [cookie(), KEY], ids=["cookie", "key"])
async def test_another_origin_is_refused_with_a_cookie_and_with_a_key(
    origin: str, scheme: str, credentials: dict[str, str]
) -> None:
    headers = {**credentials, "host": HOST, "origin": origin}
    assert await refusal("POST", headers, scheme) is ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", HOST, "http://127.0.0.1:8000"),
        ("ws", HOST, "http://127.0.0.1:8000"),
        ("http", "example.org", "http://example.org"),
        ("http", "example.org:80", "http://example.org"),
        ("https", "Example.ORG", "https://example.org"),
        ("wss", "example.org:443", "https://example.org"),
        ("wss", "example.org", "https://example.org:443"),
        ("http", "[::1]:8000", "http://[::1]:8000"),
        ("https", "[2001:db8::1]", "https://[2001:DB8::1]"),
    ],
)
async def test_a_page_of_our_own_origin_may_send_however_it_is_written(
    scheme: str, host: str, origin: str
) -> None:
    for credentials in (cookie(scheme), KEY):
        assert await refusal("POST", {**credentials, "host": host, "origin": origin}, scheme) is None


async def test_a_cookie_needs_an_origin_and_a_key_does_not() -> None:
    assert await refusal("POST", {**cookie(), "host": HOST}) is ErrorCode.FORBIDDEN
    assert await refusal("POST", {**KEY, "host": HOST}) is None


async def test_an_allowed_origin_may_send_keys_and_never_our_cookie() -> None:
    asked = {"host": HOST, "origin": ALLOWED}
    assert await refusal("POST", {**KEY, **asked}) is None
    assert await refusal("POST", {**cookie(), **asked}) is ErrorCode.FORBIDDEN


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_a_browser_says_is_another_site_is_believed(site: str) -> None:
    assert await refusal("POST", {**KEY, "host": HOST, "sec-fetch-site": site}) is ErrorCode.FORBIDDEN


async def test_over_tls_only_the_cookie_that_is_bound_to_the_host_counts() -> None:
    own = {"host": "example.org", "origin": "https://example.org"}
    planted = {"cookie": f"{SESSION_COOKIE}={SESSION}"}
    assert await refusal("POST", {**planted, **own}, "https") is ErrorCode.UNAUTHENTICATED
    assert await refusal("POST", {**cookie("https"), **own}, "https") is None


@pytest.mark.parametrize(
    "text", ["*", "null", "https://*.example.org", "https://a.example/x", "a.example", "https://", "ftp://a"]
)
def test_a_setting_that_is_no_exact_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="exact origin"):
        read_origins(f"https://good.example, {text}")


def test_allowed_origins_are_written_as_browsers_send_them() -> None:
    found = read_origins(" https://A.example:443 ,http://b.example:8080,")
    assert found == ("https://a.example", "http://b.example:8080")
    assert whole_origin("x" * 100_000) is None
