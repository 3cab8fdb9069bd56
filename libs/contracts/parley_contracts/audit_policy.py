"""Which action each changing subject and each changing route writes into the audit, or why it writes none.

The service that answers a subject writes it, after it did it: handlers need no line of their own. Events,
and requests that only read by their name and by `READS`, are not listed; neither are GET routes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from parley_contracts import subjects as s
from parley_contracts.audit import Action, ObjectKind
from parley_contracts.route_policy import Route


class Unwritten(StrEnum):
    """Why something that may change something writes nothing."""

    READS = "reads"
    """It changes nothing, whatever its name or method."""
    TURN = "turn"
    """It is a turn or a part of one: kept with who asked and when in the conversation itself."""
    COUNT = "count"
    """It counts, or rates; nothing of anybody's is given away or lost."""
    WORK = "work"
    """Work among services, for what is written when it was asked for."""


@dataclass(frozen=True, slots=True)
class Written:
    """What is written of a request.

    Attributes:
        action: What was done.
        kind: To what.
        object: Where its id stands: `asked.user_id` in the request, `told.id` in the answer; with `|`
            between them the first that is there.
        actor: The same for who it was, where the request is itself the proof of that.
        changed: Fields of the request whose names are told when they are given.
        of: Where the id of that stands which the object is a part of.
        only_refusals: Whether it is written only when it is refused.
    """

    action: Action
    kind: ObjectKind
    object: str = ""
    actor: str = ""
    changed: tuple[str, ...] = ()
    of: str = ""
    only_refusals: bool = False


_A, _O = Action, ObjectKind
_USER = "asked.user_id|asked.owner_id"

SUBJECTS: dict[str, Written | Unwritten] = {
    s.ALL_TURN_STARTS: Unwritten.TURN,
    s.ALL_SUBMITS: Unwritten.TURN,
    s.ALL_GENERATE: Unwritten.TURN,
    s.ALL_CANCELS: Unwritten.TURN,
    s.ALL_HOLDS: Unwritten.WORK,
    s.ALL_HEALTH: Unwritten.READS,
    s.LLM_MODELS: Unwritten.READS,
    # Models have names and no ids, as collections.
    s.LLM_PULL_MODEL: Written(_A.MODEL_PULLED, _O.MODEL, "asked.model"),
    s.LLM_CANCEL_PULL: Written(_A.MODEL_PULL_CANCELLED, _O.MODEL, "asked.model"),
    s.LLM_DELETE_MODEL: Written(_A.MODEL_DELETED, _O.MODEL, "asked.model"),
    s.NPU_EMBED: Unwritten.READS,
    s.NPU_RECOGNISE: Unwritten.READS,
    s.NPU_RERANK: Unwritten.READS,
    s.TOOL_SEARCH_KNOWLEDGE: Unwritten.TURN,
    s.TOOL_READ_FILE: Unwritten.TURN,
    s.TOOL_ANALYSE_TABLE: Unwritten.TURN,
    s.TOOL_READ_PAGE: Unwritten.TURN,
    s.TOOL_HTTP_REQUEST: Unwritten.TURN,
    s.TOOL_CALCULATE: Unwritten.TURN,
    s.ALL_OUTSIDE_TOOL_CALLS: Unwritten.TURN,
    s.RAG_SEARCH: Unwritten.READS,
    s.RAG_INGEST: Unwritten.WORK,
    s.RAG_RATE_CITATION: Unwritten.COUNT,
    s.RAG_DELETE_FEEDBACK: Unwritten.COUNT,
    s.RAG_COUNT_CITATIONS: Unwritten.COUNT,
    s.ACCOUNTS_RECORD_USAGE: Unwritten.COUNT,
    s.RAG_CREATE_DOCUMENT: Written(_A.DOCUMENT_CREATED, _O.DOCUMENT, "told.document.id"),
    s.RAG_ADD_DOCUMENT: Written(_A.DOCUMENT_CREATED, _O.DOCUMENT, "told.id"),
    s.RAG_CANCEL_DOCUMENT: Written(_A.DOCUMENT_CANCELLED, _O.DOCUMENT, "asked.document_id"),
    s.RAG_REINDEX_DOCUMENT: Written(_A.DOCUMENT_REINDEXED, _O.DOCUMENT, "asked.document_id"),
    s.RAG_DELETE_DOCUMENT: Written(_A.DOCUMENT_DELETED, _O.DOCUMENT, "asked.document_id"),
    # Collections have names and no ids: what is told is a hash of the name.
    s.RAG_CREATE_COLLECTION: Written(_A.COLLECTION_CREATED, _O.COLLECTION, "asked.name"),
    s.RAG_REINDEX_COLLECTION: Written(_A.COLLECTION_REINDEXED, _O.COLLECTION, "asked.name"),
    s.RAG_DELETE_COLLECTION: Written(_A.COLLECTION_DELETED, _O.COLLECTION, "asked.name"),
    s.MEMORY_STORE_USER_MESSAGE: Unwritten.TURN,
    s.MEMORY_STORE_TURN: Unwritten.TURN,
    s.MEMORY_RENAME_CONVERSATION: Written(
        _A.CONVERSATION_RENAMED, _O.CONVERSATION, "asked.conversation_id", changed=("title",)
    ),
    s.MEMORY_DELETE_CONVERSATION: Written(_A.CONVERSATION_DELETED, _O.CONVERSATION, "asked.conversation_id"),
    s.MEMORY_CREATE_ATTACHMENT: Written(_A.ATTACHMENT_CREATED, _O.ATTACHMENT, "told.attachment.id"),
    s.MEMORY_FINISH_ATTACHMENT: Unwritten.WORK,
    s.MEMORY_USE_ATTACHMENTS: Unwritten.TURN,
    s.MEMORY_DELETE_ATTACHMENT: Written(_A.ATTACHMENT_DELETED, _O.ATTACHMENT, "asked.attachment_id"),
    s.ACCOUNTS_LOG_IN: Written(_A.SESSION_OPENED, _O.SESSION, "told.session_id", actor="told.user.id"),
    s.ACCOUNTS_LOG_IN_WITH_KEY: Written(
        _A.SESSION_OPENED, _O.SESSION, "told.session_id", actor="told.user.id"
    ),
    s.ACCOUNTS_BEGIN_PROVIDER_LOGIN: Unwritten.READS,
    s.ACCOUNTS_COMPLETE_PROVIDER_LOGIN: Written(
        _A.SESSION_OPENED, _O.SESSION, "told.tokens.session_id", actor="told.tokens.user.id"
    ),
    s.ACCOUNTS_REFRESH_SESSION: Written(_A.SESSION_REFRESHED, _O.SESSION, only_refusals=True),
    s.ACCOUNTS_CHECK_KEY: Written(_A.KEY_CHECKED, _O.KEY, only_refusals=True),
    s.ACCOUNTS_END_SESSION: Written(_A.SESSION_ENDED, _O.SESSION, "asked.session_id"),
    s.ACCOUNTS_END_SESSIONS: Written(_A.SESSIONS_ENDED, _O.USER, _USER),
    s.ACCOUNTS_CREATE_USER: Written(_A.USER_CREATED, _O.USER, "told.id"),
    s.ACCOUNTS_CHANGE_USER: Written(
        _A.USER_CHANGED, _O.USER, _USER, changed=("display_name", "new_role", "state")
    ),
    s.ACCOUNTS_CHANGE_PASSWORD: Written(_A.PASSWORD_CHANGED, _O.USER, "asked.owner_id"),
    s.ACCOUNTS_CREATE_INVITATION: Written(_A.INVITATION_CREATED, _O.INVITATION, "told.id"),
    s.ACCOUNTS_REVOKE_INVITATION: Written(_A.INVITATION_REVOKED, _O.INVITATION, "asked.invitation_id"),
    s.ACCOUNTS_ACCEPT_INVITATION: Written(_A.INVITATION_ACCEPTED, _O.USER, "told.id", actor="told.id"),
    s.ACCOUNTS_CREATE_PASSWORD_RESET: Written(_A.PASSWORD_RESET_CREATED, _O.USER, "asked.user_id"),
    # Whose it was, nobody is told; the ended sessions of the same moment are his.
    s.ACCOUNTS_RESET_PASSWORD: Written(_A.PASSWORD_RESET, _O.PASSWORD_RESET),
    s.ACCOUNTS_CREATE_KEY: Written(
        _A.KEY_CREATED, _O.KEY, "told.described.id", changed=("key_scopes", "expires_at_ms")
    ),
    s.ACCOUNTS_REVOKE_KEY: Written(_A.KEY_REVOKED, _O.KEY, "asked.key_id"),
    s.ACCOUNTS_ROTATE_SIGNING_KEY: Written(_A.SIGNING_KEY_ROTATED, _O.SIGNING_KEY),
    s.ACCOUNTS_ROTATE_KEK: Written(_A.KEK_ROTATED, _O.KEK),
    s.ACCOUNTS_ROTATE_DATA_KEY: Written(_A.DATA_KEY_ROTATED, _O.DATA_KEY, "told.key_id"),
    s.ACCOUNTS_OPEN_AUDIT_EXPORT: Written(_A.AUDIT_EXPORTED, _O.AUDIT),
    s.ACCOUNTS_CREATE_EXPORT: Written(_A.EXPORT_ASKED, _O.USER, _USER),
    s.ACCOUNTS_CREATE_ERASURE: Written(_A.ERASURE_ASKED, _O.USER, _USER),
    s.MEMORY_EXPORT_USER: Unwritten.WORK,
    s.MEMORY_ERASE_USER: Unwritten.WORK,
    s.RAG_EXPORT_USER: Unwritten.WORK,
    s.RAG_ERASE_USER: Unwritten.WORK,
    s.TURN_ERASE_USER: Unwritten.WORK,
    s.LLM_ERASE_USER: Unwritten.WORK,
    s.ACCOUNTS_CREATE_BOT: Written(_A.BOT_CREATED, _O.BOT, "told.id"),
    s.ACCOUNTS_CHANGE_BOT: Written(_A.BOT_CHANGED, _O.BOT, "asked.bot_id"),
    s.ACCOUNTS_DELETE_BOT: Written(_A.BOT_DELETED, _O.BOT, "asked.bot_id"),
    s.ACCOUNTS_RESTORE_BOT_VERSION: Written(_A.BOT_RESTORED, _O.BOT, "asked.bot_id"),
    s.ACCOUNTS_SHARE_BOT: Written(_A.BOT_SHARED, _O.BOT, "asked.bot_id", of="asked.group_id"),
    s.ACCOUNTS_UNSHARE_BOT: Written(_A.BOT_UNSHARED, _O.BOT, "asked.bot_id", of="asked.group_id"),
    s.ACCOUNTS_BLOCK_BOT: Written(_A.BOT_BLOCKED, _O.BOT, "asked.bot_id", changed=("is_blocked",)),
    s.ACCOUNTS_ASK_BOT: Unwritten.TURN,
    s.ACCOUNTS_CREATE_GROUP: Written(_A.GROUP_CREATED, _O.GROUP, "told.id"),
    s.ACCOUNTS_CHANGE_GROUP: Written(
        _A.GROUP_CHANGED, _O.GROUP, "asked.group_id", changed=("name", "description", "permissions")
    ),
    s.ACCOUNTS_DELETE_GROUP: Written(_A.GROUP_DELETED, _O.GROUP, "asked.group_id"),
    s.ACCOUNTS_ADD_GROUP_MEMBER: Written(
        _A.GROUP_MEMBER_ADDED, _O.GROUP_MEMBER, "asked.user_id", of="asked.group_id"
    ),
    s.ACCOUNTS_REMOVE_GROUP_MEMBER: Written(
        _A.GROUP_MEMBER_REMOVED, _O.GROUP_MEMBER, "asked.user_id", of="asked.group_id"
    ),
    s.ACCOUNTS_SET_PROVIDER_KEY: Written(_A.PROVIDER_KEY_SET, _O.PROVIDER_KEY, "asked.bot_id"),
    s.ACCOUNTS_DELETE_PROVIDER_KEY: Written(_A.PROVIDER_KEY_DELETED, _O.PROVIDER_KEY, "asked.bot_id"),
    # Whose it is, nobody is told, and the audit neither: what was typed may be anything.
    s.ACCOUNTS_FORGOT_PASSWORD: Written(_A.PASSWORD_FORGOTTEN, _O.PASSWORD_RESET),
    s.ACCOUNTS_MARK_NOTICES_READ: Unwritten.READS,
    s.ACCOUNTS_CHANGE_NOTICE_SETTINGS: Written(_A.NOTICE_SETTINGS_CHANGED, _O.USER, "asked.owner_id"),
    s.ACCOUNTS_CREATE_WEBHOOK: Written(_A.WEBHOOK_CREATED, _O.WEBHOOK, "told.webhook.id"),
    s.ACCOUNTS_CHANGE_WEBHOOK: Written(
        _A.WEBHOOK_CHANGED, _O.WEBHOOK, "asked.webhook_id", changed=("url", "kinds", "is_enabled")
    ),
    s.ACCOUNTS_DELETE_WEBHOOK: Written(_A.WEBHOOK_DELETED, _O.WEBHOOK, "asked.webhook_id"),
    s.ACCOUNTS_ROTATE_WEBHOOK_SECRET: Written(_A.WEBHOOK_SECRET_ROTATED, _O.WEBHOOK, "asked.webhook_id"),
    s.ACCOUNTS_TRY_WEBHOOK: Written(_A.WEBHOOK_TRIED, _O.WEBHOOK, "asked.webhook_id"),
}
"""By the pattern of the channel: every request and command that does not read by its name."""

ROUTES: dict[Route, str | Unwritten] = {
    ("WEBSOCKET", "/ws"): Unwritten.TURN,
    ("POST", "/v1/chat/completions"): Unwritten.TURN,
    ("POST", "/v1/responses"): Unwritten.TURN,
    ("POST", "/v1/embeddings"): Unwritten.READS,
    ("POST", "/api/chat/{bot_id}"): Unwritten.TURN,
    ("DELETE", "/api/chat/{bot_id}/session/{session}"): s.MEMORY_DELETE_CONVERSATION,
    ("POST", "/api/search"): Unwritten.READS,
    ("POST", "/api/feedback"): Unwritten.COUNT,
    ("DELETE", "/api/feedback/{turn_id}/{n}"): Unwritten.COUNT,
    ("PATCH", "/api/conversations/{conversation_id}"): s.MEMORY_RENAME_CONVERSATION,
    ("DELETE", "/api/conversations/{conversation_id}"): s.MEMORY_DELETE_CONVERSATION,
    ("POST", "/api/attachments"): s.MEMORY_CREATE_ATTACHMENT,
    ("DELETE", "/api/attachments/{attachment_id}"): s.MEMORY_DELETE_ATTACHMENT,
    ("POST", "/api/collections"): s.RAG_CREATE_COLLECTION,
    ("POST", "/api/collections/{name}/reindex"): s.RAG_REINDEX_COLLECTION,
    ("DELETE", "/api/collections/{name}"): s.RAG_DELETE_COLLECTION,
    ("POST", "/api/documents"): s.RAG_CREATE_DOCUMENT,
    ("POST", "/api/documents/url"): s.RAG_CREATE_DOCUMENT,
    ("POST", "/api/documents/{document_id}/cancel"): s.RAG_CANCEL_DOCUMENT,
    ("POST", "/api/documents/{document_id}/reindex"): s.RAG_REINDEX_DOCUMENT,
    ("DELETE", "/api/documents/{document_id}"): s.RAG_DELETE_DOCUMENT,
    ("POST", "/api/auth/session"): s.ACCOUNTS_LOG_IN,
    ("DELETE", "/api/auth/session"): s.ACCOUNTS_END_SESSION,
    ("POST", "/api/auth/login"): s.ACCOUNTS_LOG_IN,
    ("POST", "/api/auth/refresh"): s.ACCOUNTS_REFRESH_SESSION,
    ("POST", "/api/auth/invitation"): s.ACCOUNTS_ACCEPT_INVITATION,
    ("POST", "/api/auth/reset"): s.ACCOUNTS_RESET_PASSWORD,
    ("POST", "/api/auth/logout"): s.ACCOUNTS_END_SESSION,
    ("POST", "/api/auth/password"): s.ACCOUNTS_CHANGE_PASSWORD,
    ("PATCH", "/api/auth/me"): s.ACCOUNTS_CHANGE_USER,
    ("DELETE", "/api/auth/sessions"): s.ACCOUNTS_END_SESSIONS,
    ("DELETE", "/api/auth/sessions/{session_id}"): s.ACCOUNTS_END_SESSION,
    ("POST", "/api/keys"): s.ACCOUNTS_CREATE_KEY,
    ("DELETE", "/api/keys/{key_id}"): s.ACCOUNTS_REVOKE_KEY,
    ("POST", "/api/bots"): s.ACCOUNTS_CREATE_BOT,
    ("PUT", "/api/bots/{bot_id}"): s.ACCOUNTS_CHANGE_BOT,
    ("DELETE", "/api/bots/{bot_id}"): s.ACCOUNTS_DELETE_BOT,
    ("POST", "/api/bots/{bot_id}/versions/{version}/restore"): s.ACCOUNTS_RESTORE_BOT_VERSION,
    ("PUT", "/api/bots/{bot_id}/keys/{provider}"): s.ACCOUNTS_SET_PROVIDER_KEY,
    ("DELETE", "/api/bots/{bot_id}/keys/{provider}"): s.ACCOUNTS_DELETE_PROVIDER_KEY,
    ("POST", "/api/auth/forgot"): s.ACCOUNTS_FORGOT_PASSWORD,
    ("POST", "/api/notices/read"): Unwritten.READS,
    ("PATCH", "/api/notices/settings"): s.ACCOUNTS_CHANGE_NOTICE_SETTINGS,
    ("POST", "/api/webhooks"): s.ACCOUNTS_CREATE_WEBHOOK,
    ("PATCH", "/api/webhooks/{webhook_id}"): s.ACCOUNTS_CHANGE_WEBHOOK,
    ("DELETE", "/api/webhooks/{webhook_id}"): s.ACCOUNTS_DELETE_WEBHOOK,
    ("POST", "/api/webhooks/{webhook_id}/secret"): s.ACCOUNTS_ROTATE_WEBHOOK_SECRET,
    ("POST", "/api/webhooks/{webhook_id}/test"): s.ACCOUNTS_TRY_WEBHOOK,
    ("POST", "/api/admin/models/pull"): s.LLM_PULL_MODEL,
    ("DELETE", "/api/admin/models/pulls/{model:path}"): s.LLM_CANCEL_PULL,
    ("DELETE", "/api/admin/models/{model:path}"): s.LLM_DELETE_MODEL,
    ("POST", "/api/admin/users"): s.ACCOUNTS_CREATE_USER,
    ("PATCH", "/api/admin/users/{user_id}"): s.ACCOUNTS_CHANGE_USER,
    ("DELETE", "/api/admin/users/{user_id}/sessions"): s.ACCOUNTS_END_SESSIONS,
    ("POST", "/api/admin/users/{user_id}/reset"): s.ACCOUNTS_CREATE_PASSWORD_RESET,
    ("POST", "/api/account/exports"): s.ACCOUNTS_CREATE_EXPORT,
    ("POST", "/api/account/erasure"): s.ACCOUNTS_CREATE_ERASURE,
    ("POST", "/api/admin/users/{user_id}/export"): s.ACCOUNTS_CREATE_EXPORT,
    ("POST", "/api/admin/users/{user_id}/erasure"): s.ACCOUNTS_CREATE_ERASURE,
    ("POST", "/api/admin/invitations"): s.ACCOUNTS_CREATE_INVITATION,
    ("DELETE", "/api/admin/invitations/{invitation_id}"): s.ACCOUNTS_REVOKE_INVITATION,
    ("PUT", "/api/bots/{bot_id}/groups/{group_id}"): s.ACCOUNTS_SHARE_BOT,
    ("DELETE", "/api/bots/{bot_id}/groups/{group_id}"): s.ACCOUNTS_UNSHARE_BOT,
    ("DELETE", "/api/admin/keys/{key_id}"): s.ACCOUNTS_REVOKE_KEY,
    ("PATCH", "/api/admin/bots/{bot_id}"): s.ACCOUNTS_BLOCK_BOT,
    ("POST", "/api/admin/groups"): s.ACCOUNTS_CREATE_GROUP,
    ("PATCH", "/api/admin/groups/{group_id}"): s.ACCOUNTS_CHANGE_GROUP,
    ("DELETE", "/api/admin/groups/{group_id}"): s.ACCOUNTS_DELETE_GROUP,
    ("PUT", "/api/admin/groups/{group_id}/members/{user_id}"): s.ACCOUNTS_ADD_GROUP_MEMBER,
    ("DELETE", "/api/admin/groups/{group_id}/members/{user_id}"): s.ACCOUNTS_REMOVE_GROUP_MEMBER,
    ("POST", "/api/admin/signing-keys/rotate"): s.ACCOUNTS_ROTATE_SIGNING_KEY,
    ("POST", "/api/admin/kek/rotate"): s.ACCOUNTS_ROTATE_KEK,
    ("POST", "/api/admin/data-key/rotate"): s.ACCOUNTS_ROTATE_DATA_KEY,
}
"""Every route but GET: the subject behind it that writes, or why none does."""

READING_VERBS = ("read", "list", "check", "published")
"""With which the last part of a subject begins that only reads; one that writes all the same is listed."""


def only_reads(subject: str) -> bool:
    """Return whether a subject changes nothing, as its name says."""
    return subject.rpartition(".")[2].partition("_")[0] in READING_VERBS


def found_in(place: str, asked: BaseModel, told: BaseModel | None) -> str | None:
    """Return what stands at a place of `Written`, nothing at an empty one; None when nothing is there yet."""
    return next(_found(place, asked, told), None) if place else ""


def _found(place: str, asked: BaseModel, told: BaseModel | None) -> Iterator[str]:
    for one in place.split("|"):
        root, *names = one.split(".")
        value: object = asked if root == "asked" else told
        for name in names:
            value = getattr(value, name, None)
        if isinstance(value, str) and value:
            yield value


def changed_in(written: Written, asked: BaseModel) -> tuple[str, ...]:
    """Return the names of the fields that a request gives."""
    return tuple(name for name in written.changed if getattr(asked, name, None) is not None)
