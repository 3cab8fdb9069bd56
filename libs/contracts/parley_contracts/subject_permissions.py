"""What a message on each subject needs that names an owner, and what services may send of their own accord.

A subject that stands nowhere here is refused to everybody; a test walks the catalogue.
"""

from parley_contracts import subjects as s
from parley_contracts.claims import BusClaims, ClaimsFault, PrincipalKind, RefusedClaimsError
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission as P

NEEDS: dict[str, tuple[P, ...]] = {
    s.ALL_TURN_STARTS: (P.TURNS_WRITE,),
    s.ALL_GENERATE: (P.TURNS_WRITE,),
    s.RAG_INGEST: (P.DOCUMENTS_WRITE,),
    s.MEMORY_STORE_USER_MESSAGE: (P.TURNS_WRITE,),
    s.MEMORY_STORE_TURN: (P.TURNS_WRITE,),
    s.MEMORY_READ_HISTORY: (P.TURNS_WRITE,),
    s.MEMORY_READ_TURN: (P.TURNS_WRITE, P.FEEDBACK_WRITE),
    s.MEMORY_LIST_CONVERSATIONS: (P.CONVERSATIONS_READ,),
    s.MEMORY_READ_CONVERSATION: (P.CONVERSATIONS_READ,),
    s.MEMORY_RENAME_CONVERSATION: (P.CONVERSATIONS_WRITE,),
    s.MEMORY_DELETE_CONVERSATION: (P.CONVERSATIONS_WRITE,),
    s.RAG_SEARCH: (P.DOCUMENTS_READ,),
    s.RAG_READ_DOCUMENT: (P.DOCUMENTS_READ,),
    s.RAG_LIST_DOCUMENTS: (P.DOCUMENTS_READ,),
    s.RAG_READ_PASSAGE: (P.DOCUMENTS_READ,),
    s.RAG_LIST_COLLECTIONS: (P.DOCUMENTS_READ,),
    s.RAG_READ_COLLECTION: (P.DOCUMENTS_READ,),
    s.RAG_READ_QUALITY: (P.DOCUMENTS_READ,),
    s.RAG_CREATE_DOCUMENT: (P.DOCUMENTS_WRITE,),
    s.RAG_CANCEL_DOCUMENT: (P.DOCUMENTS_WRITE,),
    s.RAG_REINDEX_DOCUMENT: (P.DOCUMENTS_WRITE,),
    s.RAG_DELETE_DOCUMENT: (P.DOCUMENTS_WRITE,),
    s.RAG_CREATE_COLLECTION: (P.DOCUMENTS_WRITE,),
    s.RAG_REINDEX_COLLECTION: (P.DOCUMENTS_WRITE,),
    s.RAG_DELETE_COLLECTION: (P.DOCUMENTS_WRITE,),
    s.RAG_RATE_CITATION: (P.FEEDBACK_WRITE,),
    s.RAG_LIST_FEEDBACK: (P.FEEDBACK_WRITE,),
    s.RAG_DELETE_FEEDBACK: (P.FEEDBACK_WRITE,),
    s.RAG_COUNT_CITATIONS: (),
    s.BROWSER_READ: (P.WEB_USE,),
    s.ACCOUNTS_LIST_SESSIONS: (P.ACCOUNT_READ, P.USERS_READ),
    s.ACCOUNTS_END_SESSION: (P.ACCOUNT_WRITE, P.USERS_WRITE),
    s.ACCOUNTS_END_SESSIONS: (P.ACCOUNT_WRITE, P.USERS_WRITE),
    s.ACCOUNTS_CREATE_USER: (P.USERS_WRITE,),
    s.ACCOUNTS_READ_USER: (P.ACCOUNT_READ, P.USERS_READ),
    s.ACCOUNTS_LIST_USERS: (P.USERS_READ,),
    s.ACCOUNTS_CHANGE_USER: (P.ACCOUNT_WRITE, P.USERS_WRITE),
    s.ACCOUNTS_CHANGE_PASSWORD: (P.ACCOUNT_WRITE,),
    s.ACCOUNTS_CREATE_INVITATION: (P.USERS_WRITE,),
    s.ACCOUNTS_LIST_INVITATIONS: (P.USERS_READ,),
    s.ACCOUNTS_REVOKE_INVITATION: (P.USERS_WRITE,),
    s.ACCOUNTS_CREATE_PASSWORD_RESET: (P.USERS_WRITE,),
    s.ACCOUNTS_CREATE_KEY: (P.KEYS_WRITE,),
    s.ACCOUNTS_LIST_KEYS: (P.KEYS_READ, P.USERS_READ),
    s.ACCOUNTS_REVOKE_KEY: (P.KEYS_WRITE, P.USERS_WRITE),
    s.ACCOUNTS_ROTATE_SIGNING_KEY: (P.SIGNING_KEYS_WRITE,),
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

VOUCHERS = frozenset({"gateway"})
"""Whose key says who somebody is: that of gateways, which accounts holds too."""

SYSTEM: dict[str, frozenset[str]] = {
    "gateway": frozenset({s.MEMORY_STORE_TURN, s.MEMORY_STORE_USER_MESSAGE, s.RAG_COUNT_CITATIONS}),
    "rag": frozenset({s.RAG_INGEST}),
}
"""What each service sends when nobody asks for it now: what was accepted is finished, whoever has left."""


def area_of(subject: str) -> str:
    """Return the first part of a subject behind the prefix: the service that answers there, for a request."""
    return subject.removeprefix(f"{s.PREFIX}.").partition(".")[0]


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
    if claims.acting.permissions.isdisjoint(NEEDS.get(subject, ())):
        raise _not_permitted(subject)


def _not_permitted(subject: str) -> RefusedClaimsError:
    needed = NEEDS.get(subject)
    told = f"This needs the permission {needed[0]}." if needed else "Nobody may do this."
    refusal = HIDDEN.get(subject) or ParleyError(ErrorCode.FORBIDDEN, told)
    return RefusedClaimsError(ClaimsFault.NOT_PERMITTED, refusal)
