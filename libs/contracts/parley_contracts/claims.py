"""Claims: for whom a message on the bus is sent, and by whose word; the header `Parley-Claims`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from pydantic import Field

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import WireModel
from parley_contracts.policy import Permission, Role, effective

AUDIENCE = "parley-bus"
"""Who claims are for; access tokens are for somebody else, so that none passes for the other."""


class PrincipalKind(StrEnum):
    """By what somebody is known; `system` is a service that sees to what it has promised to an owner."""

    USER = "user"
    KEY = "key"
    VISITOR = "visitor"
    SERVICE = "service"
    SYSTEM = "system"


class ClaimsMode(StrEnum):
    """What becomes of a request whose claims do not hold: refused, or counted and logged only."""

    REQUIRE = "require"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class Acting:
    """For whom something is done, and what he may have done.

    Attributes:
        owner_id: Whose data it is about.
        role: His role; of the system it counts for nothing.
        scopes: What the role is narrowed to; None is all of it.
        kind: By what he is known.
        turn_id: The turn it is done for, when the claims are that turn's own.
        granted: What groups add to the role's permissions.
    """

    owner_id: str
    role: Role = Role.GUEST
    scopes: tuple[Permission, ...] | None = None
    kind: PrincipalKind = PrincipalKind.USER
    turn_id: str | None = None
    granted: tuple[Permission, ...] = ()

    @property
    def permissions(self) -> frozenset[Permission]:
        """What he may do to what is his."""
        return effective(self.role, self.scopes, self.granted)


class BusClaims(WireModel):
    """What claims say (RFC 7519); times in seconds since the Unix epoch."""

    iss: str = Field(max_length=64, description="The service that signed them.")
    aud: Literal["parley-bus"]
    sub: str = Field(min_length=1, max_length=200, description="The owner whose data it is about.")
    kind: PrincipalKind
    role: Role
    scopes: tuple[Permission, ...] | None = None
    granted: tuple[Permission, ...] = Field(default=(), max_length=100)
    good_for: tuple[str, ...] = Field(
        min_length=1,
        max_length=16,
        description="Subjects as the catalogue writes them, or first parts of some.",
    )
    turn_id: str | None = Field(default=None, max_length=128)
    iat: float
    exp: float

    @property
    def acting(self) -> Acting:
        """For whom they speak."""
        return Acting(self.sub, self.role, self.scopes, self.kind, self.turn_id, self.granted)


class ClaimsFault(StrEnum):
    """Why claims do not hold: for logs and metrics, whoever sent them is told nothing of it."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_AUDIENCE = "wrong_audience"
    BAD_CLAIMS = "bad_claims"
    WRONG_SIGNER = "wrong_signer"
    OTHER_SUBJECT = "other_subject"
    OTHER_OWNER = "other_owner"
    OTHER_TURN = "other_turn"
    NOT_PERMITTED = "not_permitted"


class RefusedClaimsError(ParleyError):
    """Claims that do not hold for a message; nearly all are refused in the same words."""

    def __init__(self, fault: ClaimsFault, refusal: ParleyError | None = None) -> None:
        told = refusal or ParleyError(ErrorCode.FORBIDDEN, "Nobody vouches for this request.")
        super().__init__(told.code, told.message, field=told.field)
        self.fault = fault


class ClaimsSigner(Protocol):
    """Writes claims by a key of its own."""

    def sign(self, acting: Acting, area: str) -> str:
        """Return claims that are good for minutes in one area; the same for everybody who acts the same."""
        ...

    def sign_lasting(self, acting: Acting, good_for: tuple[str, ...]) -> str:
        """Return claims for work that is stored: they are good for a day."""
        ...


class ClaimsVerifier(Protocol):
    """Reads claims."""

    def verify(self, text: str) -> BusClaims:
        """Return what claims say; RefusedClaimsError unless a known key has signed them, and in time."""
        ...


@dataclass(frozen=True, slots=True)
class ClaimsKeys:
    """What a service signs and verifies claims by; one that vouches for nobody has no signer."""

    signer: ClaimsSigner | None
    verifier: ClaimsVerifier | None
