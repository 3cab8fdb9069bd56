"""Claims on the bus: written and verified, and both remembered for a minute, so that most cost a look-up."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from parley_contracts.claims import (
    AUDIENCE,
    Acting,
    BusClaims,
    ClaimsFault,
    ClaimsKeys,
    ClaimsMode,
    PrincipalKind,
    RefusedClaimsError,
)
from parley_contracts.credentials import PublishedKey
from parley_contracts.policy import Permission, Role
from pydantic import ValidationError

from parley_identity.access_token import TokenFault, fault_of
from parley_identity.claims_files import (
    KEY_FILES,
    PUBLIC_FILE,
    read_public_file,
    read_signing_file,
)
from parley_identity.published_key import public_key

log = logging.getLogger("parley.identity")

ALGORITHM = "EdDSA"
TOKEN_TYPE = "bus+jwt"
LASTS_S = 180.0
LASTING_S = 86_400.0
REMEMBERED_S = 60.0
"""What is signed is sent for this long, and what was verified is believed for it: a key that is taken out of
the file is refused within it."""
MOST_REMEMBERED = 4096
MAX_CHARS = 4096
LEEWAY_S = 10.0
"""How far the clocks of two machines may differ."""
LONGEST_S = 400 * 86_400.0
LOOK_S = 1.0
"""How often a file is looked at, at most."""

SIGNERS = {"gateway": "gateway", "accounts": "gateway", "rag": "rag", "llm": "llm"}
"""Which services sign, and as whom."""

Clock = Callable[[], float]


class ClaimsSettings(Protocol):
    """What a service's settings say of claims."""

    @property
    def claims(self) -> ClaimsMode:
        """What becomes of a request whose claims do not hold."""
        ...

    @property
    def secrets_path(self) -> Path:
        """Where the keys are unless the next two say otherwise."""
        ...

    @property
    def claims_key_file(self) -> Path | None:
        """The key to sign by."""
        ...

    @property
    def claims_public_file(self) -> Path | None:
        """The keys to verify by."""
        ...


def open_claims(service: str, settings: ClaimsSettings) -> ClaimsKeys:
    """Return what a service signs and verifies by; OSError or ValueError when a key it needs is not there.

    Who only observes does without what is not there.
    """
    folder = settings.secrets_path
    public_path = settings.claims_public_file or folder / PUBLIC_FILE
    verifier = Verifier(public_path) if _is_usable(public_path, settings) else None
    if service not in SIGNERS:
        return ClaimsKeys(None, verifier)
    key_path = settings.claims_key_file or folder / KEY_FILES[SIGNERS[service]]
    return ClaimsKeys(Signer(key_path) if _is_usable(key_path, settings) else None, verifier)


def issue_claims(
    folder: Path, owner_id: str, scopes: tuple[Permission, ...], good_for: tuple[str, ...], *, days: float
) -> str:
    """Return claims for another team's service, which sends them as they are with what it asks.

    Args:
        folder: Holds the gateways' key.
        owner_id: In whose name it asks.
        scopes: What it may do there, of what a member may.
        good_for: Subjects as the catalogue writes them, and no others.
        days: How long; a rotation of the key ends them two days later, whatever is left.
    """
    acting = Acting(owner_id, Role.MEMBER, scopes, PrincipalKind.SERVICE)
    signer = Signer(folder / KEY_FILES["gateway"])
    return signer.sign_lasting(acting, good_for, lasts_s=days * 86_400)


class IssuedClaims:
    """What another team's service sends claims by: those that it was issued, as they are."""

    def __init__(self, path: Path) -> None:
        self._text = path.read_text(encoding="ascii").strip()

    def sign(self, acting: Acting, area: str) -> str:
        """Return the claims; whom and what they are good for was settled when they were issued."""
        del acting, area
        return self._text

    def sign_lasting(self, acting: Acting, good_for: tuple[str, ...]) -> str:
        """Return the claims, which are good for nothing that is stored."""
        del acting, good_for
        return self._text


def _is_usable(path: Path, settings: ClaimsSettings) -> bool:
    return settings.claims is ClaimsMode.REQUIRE or path.exists()


class _File:
    """Tells when a file is another one than before; it is looked at once a second, or when that is due."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._looked_s = float("-inf")
        self._seen: tuple[int, int] | None = None

    def has_changed(self, *, is_due: bool = False) -> bool:
        if not is_due and self._clock() - self._looked_s < LOOK_S:
            return False
        self._looked_s = self._clock()
        try:
            status = self.path.stat()
        except OSError:
            # In the middle of a deployment: the keys that are known go on.
            return self._seen is None
        seen = (status.st_mtime_ns, status.st_ino)
        has_changed, self._seen = seen != self._seen, seen
        return has_changed


@dataclass(frozen=True, slots=True)
class _Signed:
    text: str
    renew_s: float


class Signer:
    """Signs by the key in a file, and by another one as soon as that stands there."""

    def __init__(self, path: Path, *, clock: Clock = time.time) -> None:
        self._clock = clock
        self._file = _File(path, clock)
        self._file.has_changed()
        self._remembered: OrderedDict[tuple[Acting, str], _Signed] = OrderedDict()
        self._key = read_signing_file(path)
        self._private = self._key.key

    def _look_again(self) -> None:
        if not self._file.has_changed():
            return
        try:
            self._key = read_signing_file(self._file.path)
        except (OSError, ValueError):
            log.exception("the key of claims cannot be read; the one that is known goes on")
            return
        self._private = self._key.key

    def sign(self, acting: Acting, area: str) -> str:
        """Return claims for one area; the same text for a minute."""
        if acting.turn_id is not None:
            acting = replace(acting, turn_id=None)
        name = (acting, area)
        found = self._remembered.get(name)
        now_s = self._clock()
        if found is not None and found.renew_s > now_s:
            return found.text
        text = self._signed(acting, (area,), LASTS_S)
        self._remembered[name] = _Signed(text, now_s + REMEMBERED_S)
        self._remembered.move_to_end(name)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return text

    def sign_lasting(self, acting: Acting, good_for: tuple[str, ...], *, lasts_s: float = LASTING_S) -> str:
        """Return claims for work that is stored, or for an outside service."""
        return self._signed(acting, good_for, lasts_s)

    def _signed(self, acting: Acting, good_for: tuple[str, ...], lasts_s: float) -> str:
        self._look_again()
        now_s = self._clock()
        claims = BusClaims(
            iss=self._key.signer,
            aud=AUDIENCE,
            sub=acting.owner_id,
            kind=acting.kind,
            role=acting.role,
            scopes=acting.scopes,
            granted=acting.granted,
            good_for=good_for,
            turn_id=acting.turn_id,
            iat=now_s,
            exp=now_s + lasts_s,
        )
        headers = {"kid": self._key.kid, "typ": TOKEN_TYPE}
        body = claims.model_dump(mode="json", exclude_none=True)
        if not acting.granted:
            del body["granted"]
        return jwt.encode(body, self._private, algorithm=ALGORITHM, headers=headers)


def _fault_of(error: jwt.PyJWTError) -> ClaimsFault:
    fault = fault_of(error)
    return ClaimsFault.WRONG_SIGNER if fault is TokenFault.WRONG_ISSUER else ClaimsFault(fault.value)


@dataclass(frozen=True, slots=True)
class _Key:
    signer: str
    key: Ed25519PublicKey
    until_s: float


@dataclass(frozen=True, slots=True)
class _Verified:
    claims: BusClaims
    until_s: float


class Verifier:
    """Verifies by the keys in a file, and by others as soon as those stand there."""

    def __init__(self, path: Path, *, clock: Clock = time.time, leeway_s: float = LEEWAY_S) -> None:
        self._clock = clock
        self._leeway_s = leeway_s
        self._file = _File(path, clock)
        self._file.has_changed()
        self._remembered: OrderedDict[str, _Verified] = OrderedDict()
        self._keys = self._read()

    def _look_again(self, *, is_due: bool = False) -> None:
        if not self._file.has_changed(is_due=is_due):
            return
        try:
            self._keys = self._read()
        except (OSError, ValueError):
            log.exception("the keys of claims cannot be read; those that are known go on")
            return
        self._remembered.clear()

    def _read(self) -> dict[str, _Key]:
        return {
            one.kid: _Key(
                one.signer,
                public_key(PublishedKey(kid=one.kid, x=one.x)),
                float("inf") if one.until_s is None else one.until_s,
            )
            for one in read_public_file(self._file.path).keys
        }

    def verify(self, text: str) -> BusClaims:
        """Return what claims say; RefusedClaimsError unless everything about them is right."""
        found = self._remembered.get(text)
        now_s = self._clock()
        if found is not None and found.until_s > now_s:
            return found.claims
        if len(text) > MAX_CHARS:
            raise RefusedClaimsError(ClaimsFault.MALFORMED)
        self._look_again()
        try:
            claims, key = self._decoded(text)
        except jwt.PyJWTError as error:
            raise RefusedClaimsError(_fault_of(error)) from error
        self._require_in_time(claims, now_s)
        # One that is in time only by the leeway is looked at again each time.
        self._remembered[text] = _Verified(claims, min(now_s + REMEMBERED_S, claims.exp, key.until_s))
        self._remembered.move_to_end(text)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return claims

    def _require_in_time(self, claims: BusClaims, now_s: float) -> None:
        """PyJWT goes by the machine's clock and knows no longest time; a test's clock is another one."""
        if claims.exp + self._leeway_s <= now_s:
            raise RefusedClaimsError(ClaimsFault.EXPIRED)
        if claims.iat - self._leeway_s > now_s:
            raise RefusedClaimsError(ClaimsFault.NOT_YET_VALID)
        if claims.exp - claims.iat > LONGEST_S:
            raise RefusedClaimsError(ClaimsFault.BAD_CLAIMS)

    def _key(self, kid: str) -> _Key | None:
        if kid not in self._keys:
            # Its signer may have looked a moment later than this process, after the file was replaced.
            self._look_again(is_due=True)
        return self._keys.get(kid)

    def _decoded(self, text: str) -> tuple[BusClaims, _Key]:
        header: dict[str, Any] = jwt.get_unverified_header(text)
        if header.get("typ") != TOKEN_TYPE or header.get("alg") != ALGORITHM:
            raise RefusedClaimsError(ClaimsFault.MALFORMED)
        kid = header.get("kid")
        key = self._key(kid) if isinstance(kid, str) else None
        if key is None or key.until_s <= self._clock():
            raise RefusedClaimsError(ClaimsFault.UNKNOWN_KEY)
        said: dict[str, Any] = jwt.decode(
            text,
            key.key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=key.signer,
            options={
                "require": ["iss", "aud", "sub", "iat", "exp"],
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
            },
        )
        try:
            return BusClaims.model_validate(said), key
        except ValidationError as error:
            raise RefusedClaimsError(ClaimsFault.BAD_CLAIMS) from error
