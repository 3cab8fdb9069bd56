"""Why a login by a provider is refused: for logs and metrics, whoever is refused is told nothing of it."""

from enum import StrEnum

from parley_contracts.errors import ErrorCode, ParleyError


class LoginFault(StrEnum):
    """What was wrong."""

    NO_PROOF = "no_proof"
    OTHER_STATE = "other_state"
    TOO_LATE = "too_late"
    USED = "used"
    OTHER_PROVIDER = "other_provider"
    DENIED = "denied"
    NO_CODE = "no_code"
    BAD_CODE = "bad_code"
    NO_ID_TOKEN = "no_id_token"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    AUTHORISED_PARTY = "authorised_party"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    TOO_OLD = "too_old"
    NONCE = "nonce"
    ACCESS_TOKEN_HASH = "access_token_hash"
    USER_INFO = "user_info"
    EMAIL_DOMAIN = "email_domain"
    STRANGER = "stranger"
    ADDRESS_TAKEN = "address_taken"
    NO_ROLE = "no_role"
    DISABLED = "disabled"


class RefusedLoginError(ParleyError):
    """A login that does not let in; every one is refused in the same words."""

    def __init__(self, fault: LoginFault) -> None:
        super().__init__(ErrorCode.UNAUTHENTICATED, "Logging in did not work; begin again.")
        self.fault = fault


class ProviderAwayError(ParleyError):
    """The provider does not answer, or answers what it should not; `why` is for logs."""

    def __init__(self, why: str) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "The login provider cannot be asked now.")
        self.why = why
