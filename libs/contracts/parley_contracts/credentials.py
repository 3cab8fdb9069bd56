"""API keys, access tokens and what is refused of them: requests to the accounts service, and its events."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from parley_contracts.accounts import Opaque, PrincipalRequest
from parley_contracts.model import UnixMs, WireModel
from parley_contracts.policy import Permission, Role

AUDIENCE = "parley"
"""Who access tokens are for."""

# -- API keys -----------------------------------------------------------------------------------------


class ApiKey(WireModel):
    """An API key as it is listed: never the key itself."""

    id: str
    name: str
    scopes: tuple[Permission, ...] | None
    created_at_ms: int
    expires_at_ms: int | None
    last_used_at_ms: int | None = Field(description="To the minute.")


class CreateKey(PrincipalRequest):
    """Request: an API key of who asks, with no more rights than he asks with."""

    type: Literal["create_key"] = "create_key"
    name: str = Field(min_length=1, max_length=100)
    key_scopes: tuple[Permission, ...] | None = Field(
        default=None, max_length=100, description="What the key may be used for; None is all the role may."
    )
    expires_at_ms: UnixMs | None = None


class KeyCreated(WireModel):
    """A new API key, told once."""

    type: Literal["key_created"] = "key_created"
    key: Opaque
    described: ApiKey


class ListKeys(PrincipalRequest):
    """Request: API keys of a user that are not revoked, the newest first."""

    type: Literal["list_keys"] = "list_keys"
    user_id: str | None = Field(default=None, description="None is who asks.")


class KeyList(WireModel):
    """API keys."""

    type: Literal["key_list"] = "key_list"
    keys: tuple[ApiKey, ...]


class RevokeKey(PrincipalRequest):
    """Request: refuse an API key from now on."""

    type: Literal["revoke_key"] = "revoke_key"
    key_id: str


class CheckKey(WireModel):
    """Request: whose API key is this? `unauthenticated`, always in the same words, when it is nobody's."""

    type: Literal["check_key"] = "check_key"
    key: Opaque


class CheckSession(WireModel):
    """Request: whose session is this? `unauthenticated` when it has ended or never was.

    A session's id proves nothing: only who has proven that it was told to the browser that shows it may ask.
    """

    type: Literal["check_session"] = "check_session"
    session_id: str = Field(min_length=1, max_length=64)
    is_use: bool = Field(
        default=True, description="False for a look whether it lasts, which keeps none from going unused."
    )


class KnownPrincipal(WireModel):
    """Who a key or a session stands for, and what it may be used for."""

    type: Literal["known_principal"] = "known_principal"
    user_id: str
    role: Role
    scopes: tuple[Permission, ...] | None = Field(description="None is all that the role may.")
    granted: tuple[Permission, ...] = Field(default=(), description="What groups add to the role's.")
    key_id: str | None = None
    session_id: str | None = None
    expires_at_ms: int | None = None


# -- access tokens ------------------------------------------------------------------------------------


class AccessClaims(WireModel):
    """What an access token says (RFC 7519); times in seconds since the Unix epoch."""

    iss: str = Field(description="The installation.")
    aud: Literal["parley"]
    sub: str = Field(description="The user, whose data it is for.")
    role: Role
    granted: tuple[Permission, ...] = Field(default=(), description="What groups add to the role's.")
    sid: str = Field(description="The session.")
    jti: str
    iat: float
    nbf: float
    exp: float

    @property
    def issued_at_ms(self) -> int:
        """When it was issued, as revocations tell time."""
        return round(self.iat * 1000)


class PublishedKey(WireModel):
    """A public key as a JWK (RFC 8037)."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    alg: Literal["EdDSA"] = "EdDSA"
    use: Literal["sig"] = "sig"
    kid: str = Field(min_length=1, max_length=64)
    x: str = Field(min_length=43, max_length=43, description="The 32 bytes, base64url without padding.")


class ReadPublishedKeys(WireModel):
    """Request: the public keys by which access tokens are verified."""

    type: Literal["read_published_keys"] = "read_published_keys"


class PublishedKeys(WireModel):
    """A JWK set (RFC 7517): the key that signs, the one to be next, and those whose tokens still live."""

    type: Literal["published_keys"] = "published_keys"
    issuer: str = Field(description="The only `iss` of tokens by these keys.")
    keys: tuple[PublishedKey, ...]


class RotateSigningKey(PrincipalRequest):
    """Request: sign by the next key from now on, and publish another one to be next."""

    type: Literal["rotate_signing_key"] = "rotate_signing_key"
    is_compromised: bool = Field(
        default=False,
        description="Also refuse tokens by the old key, and do not wait for the next one's age.",
    )


# -- what is refused ----------------------------------------------------------------------------------


class RevokedKind(StrEnum):
    """What a revocation names.

    session: access tokens with this `sid`. user: access tokens of this user whose `issued_at_ms` is at most
    `at_ms`, and what is remembered of the user's API keys. key: an API key.
    """

    SESSION = "session"
    USER = "user"
    KEY = "key"


class Revocation(WireModel):
    """Something that is refused from now on; after `expires_at_ms` nothing is left that it would refuse."""

    id: str
    kind: RevokedKind
    revoked_id: str
    at_ms: int
    expires_at_ms: int


class ReadRevocations(WireModel):
    """Request: what has been revoked since a time and has not expired, the oldest first.

    Clocks of instances differ, and a revocation is seen when it is committed: ask with some seconds to spare.
    The next page begins after the last of this one: at its time, and after its id.
    """

    type: Literal["read_revocations"] = "read_revocations"
    since_ms: UnixMs = 0
    after_id: str = Field(default="", max_length=64)
    limit: int = Field(default=1000, ge=1, le=4000)


class RevocationList(WireModel):
    """A page of revocations; one that has fewer than were asked for is the last."""

    type: Literal["revocation_list"] = "revocation_list"
    revocations: tuple[Revocation, ...]
    read_at_ms: int


class AccountsRevoked(WireModel):
    """Domain event: something is refused from now on. Published at least once."""

    type: Literal["accounts_revoked"] = "accounts_revoked"
    revocation: Revocation


class SigningKeysChanged(WireModel):
    """Domain event: the published keys are others now. Published at least once."""

    type: Literal["signing_keys_changed"] = "signing_keys_changed"
    current_kid: str
    changed_at_ms: int
