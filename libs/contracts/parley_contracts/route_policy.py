"""Which permissions each route of the gateway needs. A route that stands nowhere here lets nobody in."""

from parley_contracts.policy import Permission as P

Route = tuple[str, str]
"""A method and a path as the gateway declares it; `WEBSOCKET` for the socket."""

ENTRANCES: frozenset[Route] = frozenset(
    {
        ("POST", "/api/auth/session"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/refresh"),
        ("POST", "/api/auth/invitation"),
        ("POST", "/api/auth/reset"),
        ("POST", "/api/auth/forgot"),
        ("GET", "/api/auth/oidc"),
        ("GET", "/api/auth/oidc/callback"),
        ("GET", "/api/auth/oidc/provider"),
    }
)
"""By which people come in: what they send is the proof, or what is answered tells nothing."""

SITE_ROUTES: frozenset[Route] = frozenset(
    {
        ("POST", "/api/chat/{bot_id}"),
        ("DELETE", "/api/chat/{bot_id}/session/{session}"),
    }
)
"""For visitors of pages that a bot allows, who are no users: origin and visitor's token are the proof."""

OPEN_ROUTES: frozenset[Route] = (
    ENTRANCES
    | SITE_ROUTES
    | {("GET", path) for path in ("/", "/login", "/link", "/docs", "/openapi.json", "/livez", "/readyz")}
)
"""Pages, which hold nothing of anybody's, and probes."""

ROUTES: dict[Route, tuple[P, ...]] = {
    ("WEBSOCKET", "/ws"): (P.TURNS_WRITE,),
    ("POST", "/v1/chat/completions"): (P.TURNS_WRITE,),
    ("POST", "/v1/responses"): (P.TURNS_WRITE,),
    ("GET", "/v1/models"): (P.MODELS_READ,),
    ("GET", "/v1/models/{model_id:path}"): (P.MODELS_READ,),
    ("POST", "/v1/embeddings"): (P.EMBEDDINGS_USE,),
    ("GET", "/v1/health"): (P.SERVICES_READ,),
    ("GET", "/metrics"): (P.SERVICES_READ,),
    ("GET", "/api/conversations"): (P.CONVERSATIONS_READ,),
    ("GET", "/api/conversations/{conversation_id}"): (P.CONVERSATIONS_READ,),
    ("PATCH", "/api/conversations/{conversation_id}"): (P.CONVERSATIONS_WRITE,),
    ("DELETE", "/api/conversations/{conversation_id}"): (P.CONVERSATIONS_WRITE,),
    ("POST", "/api/attachments"): (P.TURNS_WRITE,),
    ("GET", "/api/attachments"): (P.CONVERSATIONS_READ,),
    ("GET", "/api/attachments/{attachment_id}"): (P.CONVERSATIONS_READ,),
    ("GET", "/api/attachments/{attachment_id}/content"): (P.CONVERSATIONS_READ,),
    ("DELETE", "/api/attachments/{attachment_id}"): (P.CONVERSATIONS_WRITE,),
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
    ("POST", "/api/feedback"): (P.FEEDBACK_WRITE, P.TURNS_WRITE),
    ("DELETE", "/api/feedback/{turn_id}/{n}"): (P.FEEDBACK_WRITE,),
    ("DELETE", "/api/auth/session"): (P.ACCOUNT_WRITE,),
    ("POST", "/api/auth/logout"): (P.ACCOUNT_WRITE,),
    ("POST", "/api/auth/password"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/auth/me"): (P.ACCOUNT_READ,),
    ("PATCH", "/api/auth/me"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/auth/sessions"): (P.ACCOUNT_READ,),
    ("DELETE", "/api/auth/sessions"): (P.ACCOUNT_WRITE,),
    ("DELETE", "/api/auth/sessions/{session_id}"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/account/data-jobs"): (P.ACCOUNT_READ,),
    ("GET", "/api/account/exports"): (P.ACCOUNT_READ,),
    ("POST", "/api/account/exports"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/account/exports/{export_id}/file"): (P.ACCOUNT_READ,),
    ("POST", "/api/account/erasure"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/users/me"): (),
    ("GET", "/api/usage"): (P.ACCOUNT_READ,),
    ("GET", "/api/keys"): (P.KEYS_READ,),
    ("POST", "/api/keys"): (P.KEYS_WRITE,),
    ("DELETE", "/api/keys/{key_id}"): (P.KEYS_WRITE,),
    ("GET", "/api/bots"): (P.BOTS_READ,),
    ("POST", "/api/bots"): (P.BOTS_WRITE,),
    ("GET", "/api/bots/{bot_id}"): (P.BOTS_READ,),
    ("PUT", "/api/bots/{bot_id}"): (P.BOTS_WRITE,),
    ("DELETE", "/api/bots/{bot_id}"): (P.BOTS_WRITE,),
    ("GET", "/api/bots/{bot_id}/versions"): (P.BOTS_READ,),
    ("GET", "/api/bots/{bot_id}/versions/{version}"): (P.BOTS_READ,),
    ("POST", "/api/bots/{bot_id}/versions/{version}/restore"): (P.BOTS_WRITE,),
    ("GET", "/api/bots/{bot_id}/groups"): (P.BOTS_READ,),
    ("PUT", "/api/bots/{bot_id}/groups/{group_id}"): (P.BOTS_WRITE,),
    ("DELETE", "/api/bots/{bot_id}/groups/{group_id}"): (P.BOTS_WRITE,),
    ("GET", "/api/shared-bots"): (P.TURNS_WRITE,),
    ("GET", "/api/shared-bots/{shared_bot_id}"): (P.TURNS_WRITE,),
    ("GET", "/api/bots/{bot_id}/keys"): (P.BOTS_READ,),
    ("PUT", "/api/bots/{bot_id}/keys/{provider}"): (P.PROVIDER_KEYS_WRITE,),
    ("DELETE", "/api/bots/{bot_id}/keys/{provider}"): (P.PROVIDER_KEYS_WRITE,),
    ("GET", "/api/notices"): (P.ACCOUNT_READ,),
    ("GET", "/api/notices/events"): (P.ACCOUNT_READ,),
    ("POST", "/api/notices/read"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/notices/settings"): (P.ACCOUNT_READ,),
    ("PATCH", "/api/notices/settings"): (P.ACCOUNT_WRITE,),
    ("GET", "/api/webhooks"): (P.WEBHOOKS_READ,),
    ("POST", "/api/webhooks"): (P.WEBHOOKS_WRITE,),
    ("GET", "/api/webhooks/{webhook_id}"): (P.WEBHOOKS_READ,),
    ("PATCH", "/api/webhooks/{webhook_id}"): (P.WEBHOOKS_WRITE,),
    ("DELETE", "/api/webhooks/{webhook_id}"): (P.WEBHOOKS_WRITE,),
    ("POST", "/api/webhooks/{webhook_id}/secret"): (P.WEBHOOKS_WRITE,),
    ("POST", "/api/webhooks/{webhook_id}/test"): (P.WEBHOOKS_WRITE,),
    ("GET", "/api/admin/models/pulls"): (P.MODELS_WRITE,),
    ("POST", "/api/admin/models/pull"): (P.MODELS_WRITE,),
    ("DELETE", "/api/admin/models/pulls/{model:path}"): (P.MODELS_WRITE,),
    ("DELETE", "/api/admin/models/{model:path}"): (P.MODELS_WRITE,),
    ("GET", "/api/admin/roles"): (P.USERS_READ,),
    ("GET", "/api/admin/users"): (P.USERS_READ,),
    ("POST", "/api/admin/users"): (P.USERS_WRITE,),
    ("GET", "/api/admin/usage"): (P.USERS_READ,),
    ("GET", "/api/admin/users/{user_id}"): (P.USERS_READ,),
    ("PATCH", "/api/admin/users/{user_id}"): (P.USERS_WRITE,),
    ("GET", "/api/admin/users/{user_id}/sessions"): (P.USERS_READ,),
    ("DELETE", "/api/admin/users/{user_id}/sessions"): (P.USERS_WRITE,),
    ("POST", "/api/admin/users/{user_id}/reset"): (P.USERS_WRITE,),
    ("GET", "/api/admin/users/{user_id}/keys"): (P.USERS_READ,),
    ("GET", "/api/admin/services"): (P.SERVICES_READ,),
    ("GET", "/api/admin/keys"): (P.USERS_READ,),
    ("DELETE", "/api/admin/keys/{key_id}"): (P.USERS_WRITE, P.KEYS_WRITE),
    ("GET", "/api/admin/bots"): (P.USERS_READ,),
    ("GET", "/api/admin/bots/{bot_id}"): (P.USERS_READ,),
    ("PATCH", "/api/admin/bots/{bot_id}"): (P.USERS_WRITE,),
    ("GET", "/api/admin/users/{user_id}/data-jobs"): (P.USERS_READ,),
    ("POST", "/api/admin/users/{user_id}/export"): (P.USERS_WRITE,),
    ("POST", "/api/admin/users/{user_id}/erasure"): (P.USERS_WRITE, P.USERS_READ),
    ("GET", "/api/admin/invitations"): (P.USERS_READ,),
    ("POST", "/api/admin/invitations"): (P.USERS_WRITE,),
    ("DELETE", "/api/admin/invitations/{invitation_id}"): (P.USERS_WRITE,),
    ("GET", "/api/groups"): (P.ACCOUNT_READ,),
    ("GET", "/api/admin/groups"): (P.GROUPS_READ,),
    ("POST", "/api/admin/groups"): (P.GROUPS_WRITE,),
    ("GET", "/api/admin/groups/{group_id}"): (P.GROUPS_READ,),
    ("PATCH", "/api/admin/groups/{group_id}"): (P.GROUPS_WRITE,),
    ("GET", "/api/admin/groups/{group_id}/members"): (P.GROUPS_READ,),
    ("PUT", "/api/admin/groups/{group_id}/members/{user_id}"): (P.GROUPS_WRITE,),
    ("DELETE", "/api/admin/groups/{group_id}/members/{user_id}"): (P.GROUPS_WRITE,),
    ("DELETE", "/api/admin/groups/{group_id}"): (P.GROUPS_WRITE,),
    ("GET", "/api/admin/audit"): (P.AUDIT_READ,),
    ("GET", "/api/admin/audit/export"): (P.AUDIT_READ,),
    ("GET", "/api/admin/audit/verify"): (P.AUDIT_READ,),
    ("POST", "/api/admin/signing-keys/rotate"): (P.SIGNING_KEYS_WRITE,),
    ("POST", "/api/admin/kek/rotate"): (P.KEK_ROTATE,),
    ("POST", "/api/admin/data-key/rotate"): (P.KEK_ROTATE,),
}
"""What who asks must have, all of it. Whose an object is, the service that keeps it checks."""

WHOLE_ROUTES: frozenset[Route] = frozenset(
    {
        ("POST", "/api/account/exports"),
        ("GET", "/api/account/exports/{export_id}/file"),
        ("POST", "/api/auth/password"),
    }
)
"""What they give is all that is kept of a user, or all that he may do: no scopes of an API key suffice."""
