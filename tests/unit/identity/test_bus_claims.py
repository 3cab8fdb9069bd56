"""Claims on the bus say for whom a message is sent, and nothing that is not exactly one is believed."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from parley_contracts.claims import Acting, ClaimsFault, ClaimsMode, PrincipalKind, RefusedClaimsError
from parley_contracts.policy import Permission, Role
from parley_identity import bus_claims, create_claims_keys, open_claims, rotate_claims_key
from parley_identity.bus_claims import Signer, Verifier
from parley_identity.claims_files import OVERLAP_S, read_public_file, read_signing_file
from parley_messaging import ServiceSettings

ADA = Acting("ada", Role.MEMBER, (Permission.DOCUMENTS_READ,), PrincipalKind.KEY)


class MovedClock:
    """The time, and as much more as a test says."""

    def __init__(self) -> None:
        self.more_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.more_s


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_claims_keys(tmp_path)
    return tmp_path


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def signer(folder: Path, clock: MovedClock) -> Signer:
    return Signer(folder / "claims.key", clock=clock)


@pytest.fixture
def verifier(folder: Path, clock: MovedClock) -> Verifier:
    return Verifier(folder / "claims.pub", clock=clock)


def fault_of(verifier: Verifier, text: str) -> ClaimsFault:
    with pytest.raises(RefusedClaimsError) as refused:
        verifier.verify(text)
    assert refused.value.message == "Nobody vouches for this request."
    return refused.value.fault


def forged(folder: Path, key: Any = None, *, header: dict[str, Any] | None = None, **changed: Any) -> str:
    """Return claims by the gateways' key, as they would be but for what is changed."""
    known = read_signing_file(folder / "claims.key")
    now_s = time.time()
    said = {
        "iss": "gateway",
        "aud": "parley-bus",
        "sub": "ada",
        "kind": "user",
        "role": "owner",
        "good_for": ["memory"],
        "iat": now_s,
        "exp": now_s + 60,
        **changed,
    }
    body = {name: value for name, value in said.items() if value is not None}
    headers = {"kid": known.kid, "typ": "bus+jwt", **(header or {})}
    return jwt.encode(body, key or known.key, algorithm="EdDSA", headers=headers)


def test_claims_say_what_was_signed(signer: Signer, verifier: Verifier) -> None:
    found = verifier.verify(signer.sign(ADA, "rag"))
    assert (found.acting, found.good_for, found.iss) == (ADA, ("rag",), "gateway")
    assert found.acting.permissions == {Permission.DOCUMENTS_READ}


def test_a_forgery_is_as_good_as_the_real_one_by_the_real_key_only(folder: Path, verifier: Verifier) -> None:
    assert verifier.verify(forged(folder)).sub == "ada"
    assert fault_of(verifier, forged(folder, Ed25519PrivateKey.generate())) is ClaimsFault.BAD_SIGNATURE


def test_no_algorithm_but_the_one_is_taken(folder: Path, verifier: Verifier) -> None:
    head, body, _ = forged(folder).split(".")
    known = read_public_file(folder / "claims.pub").keys[0]

    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).decode().rstrip("=")

    plain = json.loads(base64.urlsafe_b64decode(head + "=="))
    none = f"{encoded(json.dumps({**plain, 'alg': 'none'}).encode())}.{body}."
    by_public = f"{encoded(json.dumps({**plain, 'alg': 'HS256'}).encode())}.{body}"
    public = base64.urlsafe_b64decode(f"{known.x}=")
    mac = hmac.new(public, by_public.encode(), hashlib.sha256).digest()
    for text in (
        none,
        f"{by_public}.{encoded(mac)}",
        f"{head}.{body}.",
        f"{head}.{body}",
        "",
        "x" * 5000,
        "a.b.c",
    ):
        assert fault_of(verifier, text) in (ClaimsFault.MALFORMED, ClaimsFault.BAD_SIGNATURE)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"aud": "parley"}, ClaimsFault.WRONG_AUDIENCE),
        ({"aud": ["parley-bus", "parley"]}, ClaimsFault.WRONG_AUDIENCE),
        ({"aud": None}, ClaimsFault.BAD_CLAIMS),
        ({"exp": time.time() - 60}, ClaimsFault.EXPIRED),
        ({"exp": None}, ClaimsFault.BAD_CLAIMS),
        ({"exp": time.time() + 500 * 86_400}, ClaimsFault.BAD_CLAIMS),
        ({"iat": time.time() + 86_400}, ClaimsFault.NOT_YET_VALID),
        ({"iss": "rag"}, ClaimsFault.WRONG_SIGNER),
        ({"sub": ""}, ClaimsFault.BAD_CLAIMS),
        ({"role": "emperor"}, ClaimsFault.BAD_CLAIMS),
        ({"good_for": []}, ClaimsFault.BAD_CLAIMS),
        ({"header": {"typ": "at+jwt"}}, ClaimsFault.MALFORMED),
        ({"header": {"kid": "another"}}, ClaimsFault.UNKNOWN_KEY),
    ],
)
def test_what_is_not_exactly_right_is_refused(
    folder: Path, verifier: Verifier, changed: dict[str, Any], fault: ClaimsFault
) -> None:
    assert fault_of(verifier, forged(folder, **changed)) is fault


def test_claims_end_although_they_were_verified_before(
    signer: Signer, verifier: Verifier, clock: MovedClock
) -> None:
    text = signer.sign(ADA, "rag")
    verifier.verify(text)
    clock.more_s = bus_claims.LASTS_S + bus_claims.LEEWAY_S + 1
    assert fault_of(verifier, text) is ClaimsFault.EXPIRED
    assert signer.sign(ADA, "rag") != text


def test_the_same_claims_are_signed_and_verified_once_a_minute(
    signer: Signer, verifier: Verifier, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = signer.sign(ADA, "rag")
    verifier.verify(first)
    monkeypatch.setattr(jwt, "encode", None)
    monkeypatch.setattr(jwt, "decode", None)
    clock.more_s = bus_claims.REMEMBERED_S - 1
    assert signer.sign(ADA, "rag") == first
    assert verifier.verify(first).sub == "ada"
    clock.more_s = bus_claims.REMEMBERED_S + 1
    with pytest.raises(TypeError):
        signer.sign(ADA, "rag")
    with pytest.raises(TypeError):
        verifier.verify(first)


def test_what_is_remembered_is_bounded(
    signer: Signer, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_claims, "MOST_REMEMBERED", 2)
    texts = [signer.sign(Acting(f"owner-{n}"), "rag") for n in range(3)]
    for text in texts:
        verifier.verify(text)
    assert signer.sign(Acting("owner-2"), "rag") == texts[2]
    assert signer.sign(Acting("owner-0"), "rag") != texts[0]
    monkeypatch.setattr(jwt, "decode", None)
    assert verifier.verify(texts[2]).sub == "owner-2"
    with pytest.raises(TypeError):
        verifier.verify(texts[0])


def test_after_a_rotation_claims_by_both_keys_hold_and_later_only_by_the_new_one(
    folder: Path, signer: Signer, verifier: Verifier, clock: MovedClock
) -> None:
    old = signer.sign_lasting(ADA, ("rag",), lasts_s=OVERLAP_S * 2)
    verifier.verify(old)
    rotate_claims_key(folder, "gateway")
    clock.more_s = bus_claims.REMEMBERED_S + 1
    new = signer.sign(ADA, "rag")
    kids = [jwt.get_unverified_header(text)["kid"] for text in (old, new)]
    assert kids[0] != kids[1]
    assert verifier.verify(old).sub == verifier.verify(new).sub == "ada"
    clock.more_s = OVERLAP_S + bus_claims.REMEMBERED_S + 1
    assert fault_of(verifier, old) is ClaimsFault.UNKNOWN_KEY
    assert verifier.verify(signer.sign(ADA, "rag")).sub == "ada"


def test_a_key_that_was_made_after_the_last_look_is_known_at_once(
    folder: Path, verifier: Verifier, clock: MovedClock
) -> None:
    verifier.verify(forged(folder))
    rotate_claims_key(folder, "gateway")
    assert verifier.verify(Signer(folder / "claims.key", clock=clock).sign(ADA, "rag")).sub == "ada"


def test_a_key_that_was_stolen_is_refused_within_a_minute(
    folder: Path, signer: Signer, verifier: Verifier, clock: MovedClock
) -> None:
    stolen = signer.sign_lasting(ADA, ("rag",))
    verifier.verify(stolen)
    rotate_claims_key(folder, "gateway", is_compromised=True)
    clock.more_s = bus_claims.REMEMBERED_S + 1
    assert fault_of(verifier, stolen) is ClaimsFault.UNKNOWN_KEY
    assert verifier.verify(signer.sign(ADA, "rag")).sub == "ada"
    assert verifier.verify(Signer(folder / "claims-rag.key").sign(ADA, "rag")).iss == "rag"


def test_files_that_cannot_be_read_for_a_moment_change_nothing(
    folder: Path, signer: Signer, verifier: Verifier, clock: MovedClock
) -> None:
    for name in ("claims.key", "claims.pub"):
        (folder / name).write_text("half of")
    clock.more_s = bus_claims.REMEMBERED_S + 1
    assert verifier.verify(signer.sign(ADA, "rag")).sub == "ada"
    with pytest.raises(ValueError, match="holds no keys of claims"):
        Signer(folder / "claims.key")


def test_keys_are_private_made_once_and_mended(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    create_claims_keys(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    (folder / "claims.pub").unlink()
    create_claims_keys(folder)
    assert (folder / "claims.pub").read_bytes() == before["claims.pub"]
    with pytest.raises(ValueError, match="signs no claims"):
        rotate_claims_key(folder, "memory")


def test_who_requires_claims_needs_the_keys_and_who_observes_does_without(tmp_path: Path) -> None:
    observing = ServiceSettings(secrets_dir=tmp_path, claims=ClaimsMode.OBSERVE)
    assert open_claims("gateway", observing).signer is None
    requiring = ServiceSettings(secrets_dir=tmp_path)
    with pytest.raises(FileNotFoundError):
        open_claims("memory", requiring)
    create_claims_keys(tmp_path)
    assert open_claims("memory", requiring).signer is None
    assert open_claims("gateway", requiring).signer is not None
    accounts = open_claims("accounts", requiring)
    assert accounts.signer is not None
    assert accounts.verifier is not None
    assert accounts.verifier.verify(accounts.signer.sign(ADA, "rag")).iss == "gateway"
