"""What a provider says of itself and its keys: kept, asked for again, and not believed in everything."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from parley_accounts.oidc.bounded_client import open_bounded_client
from parley_accounts.oidc.faults import ProviderAwayError
from parley_accounts.oidc.provider import PAUSE_S, REFETCH_S, STALE_S, Metadata, Provider
from parley_accounts.oidc.published_keys import ALGORITHMS, MAX_KEYS, find_key, read_keys
from parley_contracts.policy import Role

from tests.fakes.id_tokens import ProviderKey
from tests.fakes.oidc_provider import OidcProviderFake, running_provider
from tests.unit.accounts.accounts_rig import settings_of

KEEP_S = 3600.0
DESCRIPTION = "openid-configuration"


@dataclass
class Told:
    """A provider, asked at a time that a test sets."""

    fake: OidcProviderFake
    provider: Provider
    now_s: float = 1000.0

    async def find(self, key: ProviderKey) -> Any:
        return await self.provider.find_key(key.kid, key.algorithm)


@pytest.fixture
async def told() -> AsyncGenerator[Told]:
    async with (
        running_provider("https://chat.example.org/callback") as fake,
        open_bounded_client(None, 1.0) as client,
    ):
        made = Told(fake, Provider(client, fake.url, keep_s=KEEP_S, clock=lambda: made.now_s))
        yield made


async def away(asking: Callable[[], Awaitable[object]]) -> str:
    with pytest.raises(ProviderAwayError) as raised:
        await asking()
    return raised.value.why


async def test_what_was_said_is_kept_and_asked_for_again_when_it_is_old(told: Told) -> None:
    for _ in range(3):
        assert (await told.provider.metadata()).issuer == told.fake.url
        assert await told.find(told.fake.keys[0])
    assert (told.fake.calls[DESCRIPTION], told.fake.calls["jwks"]) == (1, 1)
    told.now_s += KEEP_S
    assert await told.find(told.fake.keys[0])
    assert (told.fake.calls[DESCRIPTION], told.fake.calls["jwks"]) == (2, 2)


async def test_one_asks_for_all_who_ask_at_once(told: Told) -> None:
    await asyncio.gather(*(told.find(told.fake.keys[0]) for _ in range(20)))
    assert (told.fake.calls[DESCRIPTION], told.fake.calls["jwks"]) == (1, 1)


async def test_a_new_key_is_found_at_once_and_unknown_ones_are_asked_for_now_and_then(told: Told) -> None:
    old = told.fake.keys[0]
    assert await told.find(old)
    new = told.fake.rotate()
    found = await asyncio.gather(*(told.find(new) for _ in range(5)))
    assert all(found)
    assert told.fake.calls["jwks"] == 2
    assert await told.find(old) is None
    for _ in range(50):
        assert await told.find(ProviderKey()) is None
    assert told.fake.calls["jwks"] == 2
    newer = told.fake.rotate()
    assert await told.find(newer) is None
    told.now_s += REFETCH_S
    assert await told.find(newer)
    assert told.fake.calls["jwks"] == 3


async def test_a_provider_that_is_away_is_left_alone_for_a_moment(told: Told) -> None:
    told.fake.failing = {DESCRIPTION: "away"}
    for _ in range(5):
        await away(told.provider.metadata)
    assert told.fake.calls[DESCRIPTION] == 1
    told.fake.failing = {}
    told.now_s += PAUSE_S
    assert await told.provider.metadata()


async def test_what_was_said_is_used_for_a_day_while_a_provider_is_away(told: Told) -> None:
    key = told.fake.keys[0]
    assert await told.find(key)
    told.fake.failing = {DESCRIPTION: "away", "jwks": "huge"}
    told.now_s += STALE_S - 1
    assert await told.find(key)
    # A key that may be new cannot be told from one that is none.
    await away(lambda: told.find(ProviderKey()))
    told.now_s += 2
    await away(told.provider.metadata)
    await away(lambda: told.find(key))


@pytest.mark.parametrize("endpoint", [DESCRIPTION, "jwks"])
async def test_what_is_no_answer_is_not_taken_for_one(told: Told, endpoint: str) -> None:
    for failure in ("away", "huge", "packed", "page", "list", "deep", "empty", "redirected", "slow"):
        told.fake.failing = {endpoint: failure}
        await away(lambda: told.find(told.fake.keys[0]))
        told.now_s += PAUSE_S
    told.fake.failing = {}
    assert await told.find(told.fake.keys[0])


async def test_nobody_listens_there() -> None:
    async with open_bounded_client(None, 1.0) as client:
        provider = Provider(client, "http://127.0.0.1:9", keep_s=KEEP_S)
        assert "Error" in await away(provider.metadata)


UNUSABLE: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://evil.example"},
    "an issuer with a slash": {"issuer": "http://127.0.0.1/"},
    "no issuer": {"issuer": None},
    "an issuer that is no text": {"issuer": 5},
    "no token endpoint": {"token_endpoint": None},
    "a token endpoint without TLS": {"token_endpoint": "http://provider.example/token"},
    "a token endpoint of another kind": {"token_endpoint": "file:///etc/passwd"},
    "a token endpoint with a password": {"token_endpoint": "https://a:b@provider.example/token"},
    "a token endpoint in two lines": {"token_endpoint": "https://provider.example/\r\nX: y"},
    "keys without TLS": {"jwks_uri": "http://provider.example/jwks"},
    "a page without TLS": {"authorization_endpoint": "http://provider.example/"},
    "a page that runs": {"authorization_endpoint": "javascript:alert(1)"},
    "a userinfo endpoint without TLS": {"userinfo_endpoint": "http://provider.example/"},
    "PKCE by the plain verifier alone": {"code_challenge_methods_supported": ["plain"]},
    "no PKCE": {"code_challenge_methods_supported": []},
    "methods that are no list": {"token_endpoint_auth_methods_supported": "client_secret_basic"},
    "a word for true": {"authorization_response_iss_parameter_supported": "true"},
}


async def test_a_description_that_is_not_of_its_form_is_not_used(told: Told) -> None:
    for name, described in UNUSABLE.items():
        told.fake.described = described
        assert await away(told.provider.metadata), name
        told.now_s += PAUSE_S
    told.fake.described = {"code_challenge_methods_supported": None, "userinfo_endpoint": None, "more": [1]}
    assert isinstance(await told.provider.metadata(), Metadata)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_each_algorithm_has_its_keys_and_no_others(algorithm: str) -> None:
    key = ProviderKey(algorithm)
    keys = read_keys({"keys": [key.jwk]})
    assert find_key(keys, key.kid, algorithm) == key.private.public_key()
    assert find_key(keys, None, algorithm) == key.private.public_key()
    assert [one for one in ALGORITHMS if find_key(keys, key.kid, one)] == [algorithm]


def weak_key() -> dict[str, Any]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return ProviderKey("RS256", "weak", private).jwk


def test_keys_that_are_for_something_else_are_left_out() -> None:
    good = ProviderKey()
    unusable: list[Any] = [
        {**good.jwk, "kid": "encrypts", "use": "enc"},
        {**good.jwk, "kid": "signs", "key_ops": ["sign"]},
        {**good.jwk, "kid": "private", "d": "AAAA"},
        {**good.jwk, "kid": "off-curve", "x": good.jwk["y"]},
        {**good.jwk, "kid": "no-curve", "crv": None},
        {**good.jwk, "kid": "number", "x": 5},
        {"kty": "oct", "kid": "secret", "k": "AAAA", "alg": "HS256"},
        {"kty": "oct", "kid": "secret-for-es", "k": "AAAA", "alg": "ES256"},
        {"kty": ["EC"], "kid": "list"},
        weak_key(),
        "no key",
        None,
    ]
    keys = read_keys({"keys": [*unusable, good.jwk]})
    assert [one.kid for one in keys] == [good.kid]


def test_a_name_that_two_keys_have_is_nobodys() -> None:
    first, second = ProviderKey(kid="a"), ProviderKey(kid="a")
    keys = read_keys({"keys": [first.jwk, second.jwk]})
    assert find_key(keys, "a", "ES256") is None
    assert find_key(read_keys({"keys": [first.jwk, ProviderKey().jwk]}), None, "ES256") is None


def test_what_is_no_set_of_keys_is_not_taken_for_one() -> None:
    empty: dict[str, str] = {}
    many = [empty] * (MAX_KEYS + 1)
    for body in (empty, {"keys": empty}, {"keys": many}):
        with pytest.raises(ProviderAwayError):
            read_keys(body)


NAMED = {
    "accounts_oidc_issuer": "https://login.example.org/realms/one",
    "accounts_oidc_client_id": "parley",
    "accounts_oidc_redirect_url": "https://chat.example.org/api/auth/oidc/callback",
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"accounts_oidc_issuer": "http://login.example.org"}, "no https address"),
        ({"accounts_oidc_issuer": "login.example.org"}, "no https address"),
        ({"accounts_oidc_redirect_url": ""}, "no https address"),
        ({"accounts_oidc_redirect_url": "http://chat.example.org/"}, "no https address"),
        ({"accounts_oidc_client_id": ""}, "client_id is missing"),
        ({"accounts_oidc_client_secret": "a", "accounts_oidc_client_secret_file": "b"}, "not in both"),
        ({"accounts_oidc_scopes": "email"}, "openid"),
        ({"accounts_oidc_roles": "bosses=owner"}, "group=role"),
        ({"accounts_oidc_roles": "bosses"}, "group=role"),
        ({"accounts_oidc_default_role": "owner"}, "no provider makes owners"),
        ({"accounts_oidc_default_role": "refuse"}, "needs accounts_oidc_roles"),
    ],
    ids=[
        "issuer-http",
        "issuer-bare",
        "no-redirect",
        "redirect-http",
        "no-client",
        "two-secrets",
        "no-openid",
        "owners",
        "no-role",
        "default-owner",
        "refuse-all",
    ],
)
def test_settings_that_let_in_more_than_meant_are_refused(changed: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings_of(**{**NAMED, **changed})


def test_a_secret_may_stand_in_a_file_and_is_in_no_text_of_the_settings(tmp_path: Any) -> None:
    file = tmp_path / "secret"
    file.write_text("from-a-file\n")
    settings = settings_of(**NAMED, accounts_oidc_client_secret_file=file)
    assert settings.oidc_secret == "from-a-file"
    given = settings_of(**NAMED, accounts_oidc_client_secret="given", accounts_oidc_roles="a=b=member;")
    assert (given.oidc_secret, given.oidc_roles) == ("given", {"a=b": Role.MEMBER})
    assert "given" not in repr(given)
    assert settings_of().oidc_secret is None
