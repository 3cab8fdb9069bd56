"""An access token says what it was given to say, and nothing that is not exactly one is believed."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from parley_contracts.credentials import AccessClaims, PublishedKeys
from parley_contracts.errors import ErrorCode
from parley_contracts.policy import Role
from parley_identity import (
    AccessTokenVerifier,
    RefusedTokenError,
    TokenFault,
    public_key,
    published,
    sign_access_token,
)

KEY = Ed25519PrivateKey.generate()
NEXT_KEY = Ed25519PrivateKey.generate()
OTHER_KEY = Ed25519PrivateKey.generate()
KID = "k1"
ISSUER = "parley:here"
KEYS = PublishedKeys(
    issuer=ISSUER, keys=(published(KID, KEY.public_key()), published("k2", NEXT_KEY.public_key()))
)
HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": KID}


def claims(**changed: Any) -> dict[str, Any]:
    now_s = time.time()
    said: dict[str, Any] = {
        "iss": ISSUER,
        "aud": "parley",
        "sub": "ada",
        "role": "member",
        "sid": "s1",
        "jti": "t1",
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + 600,
    }
    return {**said, **changed}


def signed(said: dict[str, Any], key: Any = KEY, **header: Any) -> str:
    return jwt.encode(said, key, algorithm="EdDSA", headers={**HEADER, **header})


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def made_by_hand(header: dict[str, Any], said: dict[str, Any], secret: bytes | None = None) -> str:
    body = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(said).encode())}"
    signature = b"" if secret is None else hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{encoded(signature)}"


def fault_of(token: str) -> TokenFault:
    with pytest.raises(RefusedTokenError) as caught:
        AccessTokenVerifier(KEYS).verify(token)
    assert caught.value.code is ErrorCode.UNAUTHENTICATED
    assert caught.value.message == "The access token is not valid."
    return caught.value.fault


@pytest.mark.parametrize(("kid", "key"), [(KID, KEY), ("k2", NEXT_KEY)])
def test_a_token_says_what_it_was_given_to_say(kid: str, key: Ed25519PrivateKey) -> None:
    said = AccessClaims.model_validate(claims())
    token = sign_access_token(said, kid, key)

    assert AccessTokenVerifier(KEYS).verify(token) == said
    assert said.role is Role.MEMBER
    assert jwt.get_unverified_header(token) == {**HEADER, "kid": kid}


def test_a_token_without_a_signature_is_refused() -> None:
    for algorithm in ("none", "None", "NONE", ""):
        assert fault_of(made_by_hand({**HEADER, "alg": algorithm}, claims())) is TokenFault.MALFORMED
    # One whose header claims a signature.
    assert fault_of(made_by_hand(HEADER, claims())) is TokenFault.BAD_SIGNATURE


@pytest.mark.parametrize(
    "secret",
    [
        KEY.public_key().public_bytes_raw(),
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        KEYS.keys[0].x.encode(),
    ],
    ids=["raw", "PEM", "as published"],
)
def test_the_public_key_as_an_hmac_secret_is_refused(secret: bytes) -> None:
    assert fault_of(made_by_hand({**HEADER, "alg": "HS256"}, claims(), secret)) is TokenFault.MALFORMED
    assert fault_of(made_by_hand(HEADER, claims(), secret)) is TokenFault.BAD_SIGNATURE


def test_another_algorithm_with_a_key_of_its_own_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode(claims(), key, algorithm="ES256", headers={**HEADER, "alg": "ES256"})
    assert fault_of(token) is TokenFault.MALFORMED


def test_a_token_by_another_key_is_refused() -> None:
    assert fault_of(signed(claims(), OTHER_KEY)) is TokenFault.BAD_SIGNATURE
    assert fault_of(signed(claims(), NEXT_KEY)) is TokenFault.BAD_SIGNATURE
    assert fault_of(signed(claims(), OTHER_KEY, kid="k9")) is TokenFault.UNKNOWN_KEY


def test_a_key_that_the_token_brings_along_is_not_used() -> None:
    brought = published(KID, OTHER_KEY.public_key()).model_dump()
    assert fault_of(signed(claims(), OTHER_KEY, jwk=brought)) is TokenFault.BAD_SIGNATURE
    assert fault_of(signed(claims(), OTHER_KEY, jku="https://example.org/keys")) is TokenFault.BAD_SIGNATURE


def test_an_expired_token_is_refused_past_the_leeway() -> None:
    now_s = time.time()
    assert fault_of(signed(claims(iat=now_s - 700, exp=now_s - 15))) is TokenFault.EXPIRED
    assert AccessTokenVerifier(KEYS).verify(signed(claims(iat=now_s - 600, exp=now_s - 2)))


def test_a_token_of_the_future_is_refused_past_the_leeway() -> None:
    now_s = time.time()
    assert fault_of(signed(claims(nbf=now_s + 60))) is TokenFault.NOT_YET_VALID
    assert fault_of(signed(claims(iat=now_s + 60, exp=now_s + 600))) is TokenFault.NOT_YET_VALID
    assert AccessTokenVerifier(KEYS).verify(signed(claims(nbf=now_s + 5, iat=now_s + 5)))


def test_a_token_that_lives_longer_than_any_of_ours_is_refused() -> None:
    assert fault_of(signed(claims(exp=time.time() + 86_400))) is TokenFault.BAD_CLAIMS


@pytest.mark.parametrize("audience", ["other", "", ["parley"], ["parley", "other"], None, 1])
def test_a_token_for_another_audience_is_refused(audience: object) -> None:
    assert fault_of(signed(claims(aud=audience))) in {TokenFault.WRONG_AUDIENCE, TokenFault.BAD_CLAIMS}


@pytest.mark.parametrize("issuer", ["parley:there", "", ISSUER.upper()])
def test_a_token_of_another_installation_is_refused(issuer: str) -> None:
    assert fault_of(signed(claims(iss=issuer))) is TokenFault.WRONG_ISSUER


@pytest.mark.parametrize("name", list(claims()))
def test_a_token_that_lacks_a_claim_is_refused(name: str) -> None:
    said = claims()
    del said[name]
    assert fault_of(signed(said)) in {TokenFault.BAD_CLAIMS, TokenFault.WRONG_AUDIENCE}


@pytest.mark.parametrize(
    "changed",
    [
        {"role": "emperor"},
        {"role": None},
        {"sid": None},
        {"sid": 7},
        {"sub": 1},
        {"jti": 1},
        {"exp": "soon"},
        {"exp": 1e400},
        {"iat": float("nan")},
        {"iat": 1e400},
        {"nbf": 1e400},
        {"exp": float("nan")},
        {"nbf": {}},
    ],
)
def test_a_claim_that_is_not_what_it_should_be_is_refused(changed: dict[str, Any]) -> None:
    assert fault_of(signed(claims(**changed)))


@pytest.mark.parametrize("kind", ["JWT", "at+jws", None])
def test_a_token_of_another_kind_is_refused(kind: str | None) -> None:
    assert fault_of(signed(claims(), typ=kind)) is TokenFault.MALFORMED


def test_a_changed_token_is_refused() -> None:
    header, body, signature = signed(claims()).split(".")
    changed = json.loads(base64.urlsafe_b64decode(f"{body}=="))
    changed["role"] = "owner"
    assert fault_of(f"{header}.{encoded(json.dumps(changed).encode())}.{signature}")


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b.c", "a.b", "é.é.é", "\x00", "pk-1-2", "e30.e30.e30", "e30", "W10.e30.e30"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert fault_of(token) is TokenFault.MALFORMED


def test_a_token_that_is_too_long_is_not_looked_at() -> None:
    assert fault_of(signed(claims(more="x" * 5000))) is TokenFault.MALFORMED


def test_keys_that_are_replaced_are_used_from_then_on() -> None:
    verifier = AccessTokenVerifier(KEYS)
    verifier.replace_keys(PublishedKeys(issuer=ISSUER, keys=(KEYS.keys[1],)))

    assert verifier.kids == {"k2"}
    with pytest.raises(RefusedTokenError) as caught:
        verifier.verify(signed(claims()))
    assert caught.value.fault is TokenFault.UNKNOWN_KEY


def test_keys_that_are_none_leave_those_that_are_there() -> None:
    verifier = AccessTokenVerifier(KEYS)
    for keys in ((KEYS.keys[0], KEYS.keys[0]), (KEYS.keys[0].model_copy(update={"x": "!" * 43}),)):
        with pytest.raises(ValueError, match="published key"):
            verifier.replace_keys(PublishedKeys(issuer=ISSUER, keys=keys))
    assert verifier.kids == {KID, "k2"}


def test_a_published_key_is_that_of_rfc_8037() -> None:
    # Appendix A.1 and A.2.
    raw = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = Ed25519PrivateKey.from_private_bytes(raw).public_key()
    jwk = published("a", key)

    assert (jwk.kty, jwk.crv, jwk.x) == ("OKP", "Ed25519", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert public_key(jwk) == key
