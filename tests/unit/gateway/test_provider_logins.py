"""Browsers that log in by a provider, and all that does not let them in."""

import base64
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from parley_gateway.identity import SECURE_SESSION_COOKIE
from parley_gateway.oidc_api import AWAY_PAGE, REFUSED_PAGE, SECURE_PROOF_COOKIE
from parley_gateway.return_path import return_path

from tests.chaos.printed import print_row
from tests.fakes.id_tokens import Draft
from tests.fakes.oidc_provider import CLIENT_ID
from tests.unit.accounts.accounts_rig import PASSWORD
from tests.unit.accounts.provider_rig import ADA
from tests.unit.gateway.forged_id_tokens import FORGERIES
from tests.unit.gateway.http_edge import open_edge
from tests.unit.gateway.provider_attacks import ATTACKS
from tests.unit.gateway.provider_edge import BEGIN, CALLBACK, ProviderEdge, open_provider_edge


@pytest.fixture
async def edge(tmp_path: Path, accounts_file: Path) -> AsyncGenerator[ProviderEdge]:
    async with open_provider_edge(tmp_path, accounts_file, timeout_s=2) as opened:
        yield opened


def cookie_of(response: httpx.Response, name: str) -> str:
    """Return the header that sets a cookie, in lower case; empty without one."""
    found = [one for one in response.headers.get_list("set-cookie") if one.startswith(f"{name}=")]
    assert len(found) <= 1
    return found[0].lower() if found else ""


def seen(response: httpx.Response) -> tuple[int, str, str, str]:
    """Return all that somebody sees of an answer."""
    headers = "\n".join(sorted(f"{name}: {value}" for name, value in response.headers.items()))
    headers = re.sub("expires=[^;]*", "", headers)
    return response.status_code, response.headers.get("location", ""), headers, response.text


async def test_a_browser_logs_in_by_the_provider_and_is_somebody(edge: ProviderEdge) -> None:
    async with edge.browser() as browser:
        label = (await browser.client.get(f"{BEGIN}/provider")).json()["label"]
        assert label == "Log in with single sign-on"
        opened = await browser.log_in("/#c=abc")
        assert (opened.status_code, browser.has_session) == (200, True)
        # The page goes there itself: with a redirect from elsewhere browsers send no strict cookie.
        assert 'http-equiv="refresh" content="0;url=/#c=abc"' in opened.text
        assert "script-src" not in opened.headers["content-security-policy"]
        session = cookie_of(opened, SECURE_SESSION_COOKIE)
        assert all(word in session for word in ("httponly", "secure", "samesite=strict", "path=/"))
        assert "max-age=0" in cookie_of(opened, SECURE_PROOF_COOKIE)
        me = (await browser.me()).json()
        assert me["role"] == "guest"
        headers = {"Origin": "https://gateway"}
        assert (await browser.client.delete("/api/auth/session", headers=headers)).status_code == 200
        assert (await browser.me()).status_code == 401
        assert (await browser.log_in()).status_code == 200
        assert (await browser.me()).json()["owner_id"] == me["owner_id"]


async def test_the_provider_is_told_what_the_standards_ask_for_and_the_browser_no_secret(
    edge: ProviderEdge,
) -> None:
    async with edge.browser() as browser:
        begun = await browser.begin()
        address = begun.headers["location"]
        said = {name: values[-1] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{edge.fake.url}/authorize?tenant=one&")
        assert said["response_type"] == "code"
        assert (said["redirect_uri"], said["scope"]) == (CALLBACK, "openid email profile")
        assert (said["code_challenge_method"], len(said["code_challenge"])) == ("S256", 43)
        assert len({said["state"], said["nonce"], said["code_challenge"]}) == 3
        kept = cookie_of(begun, SECURE_PROOF_COOKIE)
        assert all(word in kept for word in ("httponly", "secure", "samesite=lax", "path=/", "max-age=600"))
        sealed = base64.urlsafe_b64decode(browser.proof.rpartition(".")[2] + "==")
        await browser.come_back(await browser.at_provider(address))
        (exchange,) = edge.fake.token_requests
        for secret in (said["state"], said["nonce"], exchange["code_verifier"]):
            assert secret.encode() not in sealed
        assert exchange["code_verifier"] not in address
        # Basic, so no secret stands in the form.
        assert "client_secret" not in exchange


async def test_a_login_from_another_network_is_told(edge: ProviderEdge) -> None:
    async with edge.browser("203.0.113.7") as at_home, edge.browser("198.51.100.1") as elsewhere:
        await at_home.log_in()
        assert (await at_home.client.get("/api/notices")).json()["notices"] == []
        await elsewhere.log_in()
        (told,) = (await at_home.client.get("/api/notices")).json()["notices"]
    assert (told["kind"], told["facts"]["network"]) == ("login.new_place", "198.51.100.0/24")


async def test_tokens_of_the_provider_and_secrets_are_in_no_log(
    edge: ProviderEdge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with edge.browser() as browser:
        said = await browser.begun()
        proof = browser.proof
        assert (await browser.come_back(said)).status_code == 200
        assert (await browser.come_back(said)).status_code == 303
    logged = "\n".join(f"{one.getMessage()} {one.__dict__}" for one in caplog.records if "parley" in one.name)
    told = [proof, said["code"], said["state"], *edge.fake.secrets_told, str(edge.fake.client_secret)]
    assert not [one for one in told if one in logged]


async def test_every_forged_id_token_is_refused_alike_and_opens_nothing(edge: ProviderEdge) -> None:
    answers: set[tuple[int, str, str, str]] = set()
    for name, (forge, fault) in FORGERIES.items():
        edge.fake.forge = forge
        before = edge.logins.counted(fault)
        async with edge.browser() as browser:
            refused = await browser.log_in()
            assert (refused.status_code, browser.has_session) == (303, False), name
            assert edge.logins.counted(fault) == before + 1, (name, fault)
        answers.add(seen(refused))
        assert await edge.logins.count() == (0, 0), name
    assert [one[1] for one in answers] == [REFUSED_PAGE]
    edge.fake.forge = Draft.signed
    async with edge.browser() as browser:
        assert (await browser.log_in()).status_code == 200
    faults = {fault for _, fault in FORGERIES.values()}
    print_row(f"{len(FORGERIES)} forged ID tokens of {len(faults)} kinds: all refused alike, no session")


async def test_every_attack_on_the_way_is_refused_alike_and_opens_nothing(edge: ProviderEdge) -> None:
    answers: set[tuple[int, str, str, str]] = set()
    for attack, fault in ATTACKS.items():
        name, before = attack.__name__, edge.logins.counted(fault) if fault else 0.0
        async with edge.browser() as victim, edge.browser() as other:
            refused = await attack(edge, victim, other)
            assert (refused.status_code, victim.has_session, other.has_session) == (303, False, False), name
        assert fault is None or edge.logins.counted(fault) == before + 1, (name, fault)
        answers.add(seen(refused))
        assert await edge.logins.count() == (0, 0), name
        edge.fake.denies, edge.fake.forge, edge.entered.accounts.clock.ahead_ms = None, Draft.signed, 0
    assert [one[1] for one in answers] == [REFUSED_PAGE]
    async with edge.browser() as browser:
        assert (await browser.log_in()).status_code == 200
    print_row(f"{len(ATTACKS)} attacks on the way: all refused alike, no session")


PATHS = {
    "/": "/",
    "/#c=0a-b": "/#c=0a-b",
    "/docs?x=1&y=%20a": "/docs?x=1&y=%20a",
    "": "/",
    "//evil.example": "/",
    "///evil.example": "/",
    "/\\evil.example": "/",
    "\\\\evil.example": "/",
    "https://evil.example/": "/",
    "https:evil.example": "/",
    "javascript:alert(1)": "/",
    "data:text/html,x": "/",
    "evil.example": "/",
    "@evil.example": "/",
    "/\t/evil.example": "/",
    "/\n/evil.example": "/",
    " //evil.example": "/",
    "/\r\nSet-Cookie: a=b": "/",
    "/\r\n\r\n<script>": "/",
    "/\x00": "/",
    '/"><script>alert(1)</script>': "/",
    "/\u2028/x": "/",
    "/\u3002evil.example": "/",
    f"/{'x' * 600}": "/",
}


async def test_a_login_leads_to_a_path_of_ours_and_nowhere_else(edge: ProviderEdge) -> None:
    for asked, path in PATHS.items():
        async with edge.browser() as browser:
            opened = await browser.log_in(asked)
        assert opened.status_code == 200, asked
        shown = path.replace("&", "&amp;")
        assert f'content="0;url={shown}"' in opened.text, asked
        assert "evil" not in opened.text + str(opened.headers), asked
        assert "script" not in opened.text + str(opened.headers), asked
        assert return_path(asked) == path
    refused = sum(asked != path for asked, path in PATHS.items())
    print_row(f"{refused} addresses to go to afterwards that are no path of ours: all lead to the chat page")


async def test_a_page_of_another_site_begins_nothing(edge: ProviderEdge) -> None:
    async with edge.browser() as browser:
        said = await browser.begun()
        proof = browser.proof
        for site in ("cross-site", "same-site"):
            answer = await browser.begin(**{"sec-fetch-site": site})
            assert (answer.headers["location"], browser.proof) == ("/login", proof)
        # Coming back from the provider is from another site, always.
        assert (await browser.come_back(said, **{"sec-fetch-site": "cross-site"})).status_code == 200


async def test_a_host_that_a_client_names_is_told_to_nobody(edge: ProviderEdge) -> None:
    async with edge.browser() as browser:
        begun = await browser.begin(host="evil.example")
        assert "evil" not in begun.headers["location"]


@pytest.mark.parametrize(
    ("methods", "is_basic"), [(["client_secret_post"], False), (None, True)], ids=["post", "not-said"]
)
async def test_the_client_proves_itself_as_the_provider_wants_it(
    tmp_path: Path, accounts_file: Path, methods: list[str] | None, is_basic: bool
) -> None:
    described = {"described": {"token_endpoint_auth_methods_supported": methods}}
    async with open_provider_edge(tmp_path, accounts_file, described) as edge, edge.browser() as browser:
        assert (await browser.log_in()).status_code == 200
        assert ("client_secret" not in edge.fake.token_requests[0]) == is_basic


async def test_a_public_client_has_no_secret(tmp_path: Path, accounts_file: Path) -> None:
    async with (
        open_provider_edge(tmp_path, accounts_file, {"client_secret": None}) as edge,
        edge.browser() as browser,
    ):
        assert (await browser.log_in()).status_code == 200


async def test_a_secret_that_is_not_taken_is_the_operators_concern(edge: ProviderEdge) -> None:
    edge.fake.client_secret = "another"
    async with edge.browser() as browser:
        assert (await browser.log_in()).headers["location"] == AWAY_PAGE
    assert (edge.logins.counted("away"), await edge.logins.count()) == (1, (0, 0))


async def test_what_a_provider_answers_that_is_no_answer_opens_nothing(
    tmp_path: Path, accounts_file: Path
) -> None:
    failures = ("away", "huge", "packed", "page", "list", "deep", "redirected", "empty", "slow")
    async with open_provider_edge(tmp_path, accounts_file, asks_userinfo=True, timeout_s=1) as edge:
        for number, failure in enumerate(failures, 1):
            for endpoint in ("token", "userinfo"):
                edge.fake.failing = {endpoint: failure}
                async with edge.browser() as browser:
                    refused = await browser.log_in()
                    assert (refused.status_code, browser.has_session) == (303, False), (failure, endpoint)
                    assert refused.headers["location"] == AWAY_PAGE, (failure, endpoint)
            assert edge.logins.counted("away") == 2 * number
        assert await edge.logins.count() == (0, 0)
        edge.fake.failing = {}
        async with edge.browser() as browser:
            assert (await browser.log_in()).status_code == 200


async def test_userinfo_tells_what_the_id_token_does_not_and_is_about_the_same_person(
    tmp_path: Path, accounts_file: Path
) -> None:
    told = {"told_by_userinfo": frozenset({"email", "email_verified"})}
    async with open_provider_edge(tmp_path, accounts_file, told, asks_userinfo=True) as edge:
        async with edge.browser() as browser:
            assert (await browser.log_in()).status_code == 200
            me = (await browser.client.get("/api/auth/me")).json()
            assert me["email"] == ADA["email"]
        edge.fake.forge = lambda draft: draft.saying(sub="somebody-else").signed()
        async with edge.browser() as browser:
            assert (await browser.log_in()).headers["location"] == REFUSED_PAGE
        assert edge.logins.counted("user_info") == 1


async def test_without_a_provider_there_is_no_button_and_no_way(tmp_path: Path, accounts_file: Path) -> None:
    async with open_provider_edge(tmp_path, accounts_file, issuer=None) as edge, edge.browser() as browser:
        assert (await browser.client.get(f"{BEGIN}/provider")).json()["label"] is None
        assert (await browser.begin()).status_code == 404
        browser.show("anything")
        refused = await browser.come_back({"state": "a", "code": "b"})
        assert (refused.status_code, refused.headers["location"]) == (303, REFUSED_PAGE)


async def test_over_http_the_cookies_are_those_of_this_machine(tmp_path: Path, accounts_file: Path) -> None:
    async with (
        open_provider_edge(tmp_path, accounts_file) as edge,
        open_edge(edge.entered.accounts.bus, tmp_path, edge.entered.identities) as client,
    ):
        begun = await client.get(BEGIN)
        assert cookie_of(begun, "parley_login")
        assert "secure" not in cookie_of(begun, "parley_login")


async def test_logging_out_leads_to_the_provider_when_that_is_set_and_never_fails(
    tmp_path: Path, accounts_file: Path
) -> None:
    return_url = "https://gateway/login"
    settings: dict[str, Any] = {"ends_provider_session": True, "logout_return_url": return_url}
    async with open_provider_edge(tmp_path, accounts_file, **settings) as edge:
        name = "ada-with-a-password"
        await edge.entered.accounts.user(name)
        failures: list[dict[str, str]] = [{}, {"openid-configuration": "away"}]
        for failing in failures:
            async with edge.browser() as browser:
                await browser.log_in()
                edge.fake.failing = failing
                out = await browser.client.delete("/api/auth/session", headers={"Origin": "https://gateway"})
                there = urlsplit(str(out.json()["provider_logout"]))
                said = {one: values[-1] for one, values in parse_qs(there.query).items()}
                assert there._replace(query="").geturl() == f"{edge.fake.url}/logout"
                assert said == {"client_id": CLIENT_ID, "post_logout_redirect_uri": return_url}
        async with edge.browser() as browser:
            proof = {"login": name, "password": PASSWORD}
            assert (await browser.client.post("/api/auth/session", json=proof)).status_code == 200
            out = await browser.client.delete("/api/auth/session", headers={"Origin": "https://gateway"})
            assert (out.status_code, out.json()["provider_logout"]) == (200, None)


async def test_logging_out_stays_here_by_default(edge: ProviderEdge) -> None:
    async with edge.browser() as browser:
        await browser.log_in()
        out = await browser.client.delete("/api/auth/session", headers={"Origin": "https://gateway"})
        assert (out.status_code, out.json()["provider_logout"]) == (200, None)
