"""What a message on each subject needs that names an owner, and what services may send of their own accord.

A subject that stands nowhere here is refused to everybody; a test walks the catalogue.
"""

from parley_contracts import subjects as s
from parley_contracts.claims import BusClaims, ClaimsFault, PrincipalKind, RefusedClaimsError
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission as P
from parley_contracts.subject_policy import OF_OTHERS, SUBJECTS

# A turn is read to rate its citations as well.
_OR_ELSE = {s.MEMORY_READ_TURN: P.FEEDBACK_WRITE, **OF_OTHERS}
_OF_DATA_JOBS = frozenset(
    {s.MEMORY_EXPORT_USER, s.MEMORY_ERASE_USER, s.RAG_EXPORT_USER, s.RAG_ERASE_USER}
    | {s.TURN_ERASE_USER, s.LLM_ERASE_USER}
)
_OF_SERVICES_ONLY = (
    frozenset({s.RAG_COUNT_CITATIONS, s.ACCOUNTS_READ_DATA_KEY, s.ACCOUNTS_RECORD_USAGE}) | _OF_DATA_JOBS
)

NEEDS: dict[str, tuple[P, ...]] = {
    subject: () if subject in _OF_SERVICES_ONLY else (need, _OR_ELSE.get(subject, need))
    for subject, need in SUBJECTS.items()
    if isinstance(need, P)
}
"""One of these is enough here; what is needed for other people's, accounts looks at. Empty: only services."""

HIDDEN: dict[str, ParleyError] = {
    s.ACCOUNTS_CREATE_PASSWORD_RESET: ParleyError(
        ErrorCode.NOT_FOUND, "There is no such user.", field="user_id"
    )
}
"""How a subject refuses who lacks the permission, where `forbidden` would say that something is there."""

TURN_SUBJECTS = (s.ALL_TURN_STARTS, s.ALL_GENERATE)
"""What a turn's own claims are good for: its command and its generate job carry them."""

OUTSIDE_SUBJECTS = (s.ALL_SUBMITS, s.RAG_ADD_DOCUMENT)
OUTSIDE_SCOPES = (P.TURNS_WRITE, P.DOCUMENTS_READ, P.DOCUMENTS_WRITE, P.WEB_USE)
"""What the claims of another team's service are good for, and what it may have done by them."""

_TOOLS = "tool"

VOUCHERS = frozenset({"gateway"})
"""Whose key says who somebody is: that of gateways, which accounts holds too."""

SYSTEM: dict[str, frozenset[str]] = {
    # Accounts signs by this key as well; that only it may ask for data jobs, the rights of the bus say.
    "gateway": frozenset({s.MEMORY_STORE_TURN, s.MEMORY_STORE_USER_MESSAGE, s.RAG_COUNT_CITATIONS})
    | {s.ACCOUNTS_READ_DATA_KEY, s.ACCOUNTS_RECORD_USAGE}
    | _OF_DATA_JOBS,
    "rag": frozenset({s.RAG_INGEST, s.ACCOUNTS_READ_DATA_KEY}),
    "llm": frozenset({s.ACCOUNTS_READ_DATA_KEY}),
}
"""What each service sends when nobody asks for it now: what was accepted is finished, whoever has left."""


def area_of(subject: str) -> str:
    """Return the first part of a subject behind the prefix: the service that answers there, for a request."""
    return subject.removeprefix(f"{s.PREFIX}.").partition(".")[0]


def good_for(subject: str) -> str:
    """Return what claims for a request name: its area, and of a tool's call the tool alone.

    Tools are answered by other teams too: what one of them is sent is good for nothing else.
    """
    area = area_of(subject)
    return subject if area == _TOOLS else area


def needs_of(subject: str) -> tuple[P, ...]:
    """Return the permissions of which one is enough; of a tool of another team's, those of all of these."""
    if (found := NEEDS.get(subject)) is not None:
        return found
    try:
        s.parse_outside_tool_call(subject)
    except ValueError:
        return ()
    return NEEDS[s.ALL_OUTSIDE_TOOL_CALLS]


def require_claims(subject: str, owner_id: str, claims: BusClaims) -> None:
    """Raise RefusedClaimsError unless claims hold for what is sent on a subject, or pattern, for an owner."""
    if area_of(subject) not in claims.good_for and subject not in claims.good_for:
        raise RefusedClaimsError(ClaimsFault.OTHER_SUBJECT)
    if claims.sub != owner_id:
        raise RefusedClaimsError(ClaimsFault.OTHER_OWNER)
    if claims.kind is PrincipalKind.SYSTEM:
        if subject not in SYSTEM.get(claims.iss, ()):
            raise RefusedClaimsError(ClaimsFault.WRONG_SIGNER)
        return
    if claims.iss not in VOUCHERS:
        raise RefusedClaimsError(ClaimsFault.WRONG_SIGNER)
    if claims.acting.permissions.isdisjoint(needs_of(subject)):
        raise _not_permitted(subject)


def _not_permitted(subject: str) -> RefusedClaimsError:
    needed = needs_of(subject)
    told = f"This needs the permission {needed[0]}." if needed else "Nobody may do this."
    refusal = HIDDEN.get(subject) or ParleyError(ErrorCode.FORBIDDEN, told)
    return RefusedClaimsError(ClaimsFault.NOT_PERMITTED, refusal)
