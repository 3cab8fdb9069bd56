"""What each route needs. A route that stands nowhere here lets nobody in; the routes that are open say so."""

from collections.abc import Mapping
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission as P

Route = tuple[str, str]

OPEN_AUTH: frozenset[Route] = frozenset(
    {
        ("POST", "/api/auth/session"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/refresh"),
        ("POST", "/api/auth/invitation"),
        ("POST", "/api/auth/reset"),
    }
)
"""By which people come in: the body is the proof."""

OPEN: frozenset[Route] = OPEN_AUTH | {
    ("GET", path)
    for path in ("/", "/login", "/link", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics")
}
"""Pages, which hold nothing of anybody's, and probes."""

NEEDS: dict[Route, tuple[P, ...]] = {
    ("WEBSOCKET", "/ws"): (P.TURNS_WRITE,),
    ("POST", "/v1/chat/completions"): (P.TURNS_WRITE,),
    ("GET", "/v1/models"): (P.MODELS_READ,),
    ("GET", "/v1/models/{model_id:path}"): (P.MODELS_READ,),
    ("POST", "/v1/embeddings"): (P.EMBEDDINGS_USE,),
    ("GET", "/v1/health"): (P.SERVICES_READ,),
    ("GET", "/api/conversations"): (P.CONVERSATIONS_READ,),
    ("GET", "/api/conversations/{conversation_id}"): (P.CONVERSATIONS_READ,),
    ("PATCH", "/api/conversations/{conversation_id}"): (P.CONVERSATIONS_WRITE,),
    ("DELETE", "/api/conversations/{conversation_id}"): (P.CONVERSATIONS_WRITE,),
    ("POST", "/api/search"): (P.DOCUMENTS_READ,),
    ("GET", "/api/collections"): (P.DOCUMENTS_READ,),
    ("GET", "/api/collections/{name}"): (P.DOCUMENTS_READ,),
    ("GET", "/api/collections/{name}/quality"): (P.DOCUMENTS_READ,),
    ("POST", "/api/collections"): (P.DOCUMENTS_WRITE,),
    ("POST", "/api/collections/{name}/reindex"): (P.DOCUMENTS_WRITE,),
    ("DELETE", "/api/collections/{name}"): (P.DOCUMENTS_WRITE,),
    ("GET", "/api/documents"): (P.DOCUMENTS_READ,),
    ("GET", "/api/documents/{document_id}"): (P.DOCUMENTS_READ,),
    ("GET", "/api/documents/{document_id}/events"): (P.DOCUMENTS_READ,),
    ("GET", "/api/documents/{document_id}/original"): (P.DOCUMENTS_READ,),
    ("GET", "/api/documents/{document_id}/passage"): (P.DOCUMENTS_READ,),
    ("POST", "/api/documents"): (P.DOCUMENTS_WRITE,),
    ("POST", "/api/documents/url"): (P.DOCUMENTS_WRITE, P.WEB_USE),
    ("POST", "/api/documents/{document_id}/cancel"): (P.DOCUMENTS_WRITE,),
    ("POST", "/api/documents/{document_id}/reindex"): (P.DOCUMENTS_WRITE,),
    ("DELETE", "/api/documents/{document_id}"): (P.DOCUMENTS_WRITE,),
    ("GET", "/api/feedback"): (P.FEEDBACK_WRITE,),
    ("POST", "/api/feedback"): (P.FEEDBACK_WRITE,),
    ("DELETE", "/api/feedback/{turn_id}/{n}"): (P.FEEDBACK_WRITE,),
    ("DELETE", "/api/auth/session"): (P.ACCOUNT_WRITE,),
    ("POST", "/api/auth/logout"): (P.ACCOUNT_WRITE,),
    ("POST", "/api/auth/password"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/users/me"): (P.ACCOUNT_READ,),
    ("GET", "/api/users/{user_id}"): (P.ACCOUNT_READ,),
    ("PATCH", "/api/users/{user_id}"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/users/{user_id}/sessions"): (P.ACCOUNT_READ,),
    ("DELETE", "/api/users/{user_id}/sessions"): (P.ACCOUNT_WRITE,),
    ("DELETE", "/api/auth/sessions/{session_id}"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/users"): (P.USERS_READ,),
    ("POST", "/api/users"): (P.USERS_WRITE,),
    ("POST", "/api/users/{user_id}/reset"): (P.USERS_WRITE,),
    ("GET", "/api/invitations"): (P.USERS_READ,),
    ("POST", "/api/invitations"): (P.USERS_WRITE,),
    ("DELETE", "/api/invitations/{invitation_id}"): (P.USERS_WRITE,),
    ("GET", "/api/keys"): (P.KEYS_READ,),
    ("POST", "/api/keys"): (P.KEYS_WRITE,),
    ("DELETE", "/api/keys/{key_id}"): (P.KEYS_WRITE,),
    ("POST", "/api/admin/signing-keys/rotate"): (P.SIGNING_KEYS_WRITE,),
}
"""What who asks must have; where others are concerned, accounts asks for more."""


def needs_of(scope: Mapping[str, Any]) -> tuple[P, ...]:
    """Return what the route of a request needs; ParleyError `forbidden` for a route that is not listed."""
    method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
    needs = NEEDS.get((method, scope["route"].path))
    if needs is None:
        raise ParleyError(ErrorCode.FORBIDDEN, "Nobody may do this.")
    return needs
