"""Which permission each subject needs of whom its message names, and which need none, and why.

Every channel of the catalogue stands here. Accounts asks for what is listed for its own subjects; for the
others the gateway does, whose routes need at least what the subjects behind them need.
"""

from enum import StrEnum

from parley_contracts import subjects
from parley_contracts.policy import Permission as P


class Standing(StrEnum):
    """Why a subject needs no permission of a user's."""

    PROOF = "proof"
    """The message is itself the proof of who asks: a password, a key, a token; or nobody needs one."""
    SERVICES = "services"
    """Services among themselves; what is answered is the same for everybody."""
    TOLD = "told"
    """An event or a claim, written by the service that owns what it is about."""


_TURNS: dict[str, P | Standing] = {
    subjects.ALL_TURN_STARTS: P.TURNS_WRITE,
    subjects.ALL_SUBMITS: P.TURNS_WRITE,
    subjects.TURN_ERASE_USER: P.ACCOUNT_WRITE,
    subjects.ALL_CANCELS: P.TURNS_WRITE,
    subjects.ALL_GENERATE: P.TURNS_WRITE,
    subjects.ALL_PEN_SLOTS: Standing.TOLD,
    subjects.ALL_TURN_EVENTS: Standing.TOLD,
    subjects.ALL_TURN_QUEUES: Standing.TOLD,
    subjects.ALL_HOLDS: Standing.SERVICES,
}

_MEMORY: dict[str, P | Standing] = {
    subjects.MEMORY_STORE_USER_MESSAGE: P.TURNS_WRITE,
    subjects.MEMORY_STORE_TURN: P.TURNS_WRITE,
    subjects.MEMORY_READ_HISTORY: P.TURNS_WRITE,
    subjects.MEMORY_READ_TURN: P.TURNS_WRITE,
    subjects.MEMORY_LIST_CONVERSATIONS: P.CONVERSATIONS_READ,
    subjects.MEMORY_READ_CONVERSATION: P.CONVERSATIONS_READ,
    subjects.MEMORY_RENAME_CONVERSATION: P.CONVERSATIONS_WRITE,
    subjects.MEMORY_DELETE_CONVERSATION: P.CONVERSATIONS_WRITE,
    subjects.MEMORY_CREATE_ATTACHMENT: P.TURNS_WRITE,
    subjects.MEMORY_FINISH_ATTACHMENT: P.TURNS_WRITE,
    subjects.MEMORY_USE_ATTACHMENTS: P.TURNS_WRITE,
    subjects.MEMORY_LIST_ATTACHMENTS: P.CONVERSATIONS_READ,
    subjects.MEMORY_DELETE_ATTACHMENT: P.CONVERSATIONS_WRITE,
    subjects.MEMORY_EXPORT_USER: P.ACCOUNT_WRITE,
    subjects.MEMORY_ERASE_USER: P.ACCOUNT_WRITE,
    subjects.CONVERSATION_TURN_COMPLETED: Standing.TOLD,
}

_RAG: dict[str, P | Standing] = {
    subjects.RAG_SEARCH: P.DOCUMENTS_READ,
    subjects.RAG_READ_DOCUMENT: P.DOCUMENTS_READ,
    subjects.RAG_LIST_DOCUMENTS: P.DOCUMENTS_READ,
    subjects.RAG_READ_PASSAGE: P.DOCUMENTS_READ,
    subjects.RAG_LIST_COLLECTIONS: P.DOCUMENTS_READ,
    subjects.RAG_READ_COLLECTION: P.DOCUMENTS_READ,
    subjects.RAG_READ_QUALITY: P.DOCUMENTS_READ,
    subjects.RAG_CREATE_DOCUMENT: P.DOCUMENTS_WRITE,
    subjects.RAG_ADD_DOCUMENT: P.DOCUMENTS_WRITE,
    subjects.RAG_INGEST: P.DOCUMENTS_WRITE,
    subjects.RAG_CANCEL_DOCUMENT: P.DOCUMENTS_WRITE,
    subjects.RAG_REINDEX_DOCUMENT: P.DOCUMENTS_WRITE,
    subjects.RAG_DELETE_DOCUMENT: P.DOCUMENTS_WRITE,
    subjects.RAG_CREATE_COLLECTION: P.DOCUMENTS_WRITE,
    subjects.RAG_REINDEX_COLLECTION: P.DOCUMENTS_WRITE,
    subjects.RAG_DELETE_COLLECTION: P.DOCUMENTS_WRITE,
    subjects.RAG_RATE_CITATION: P.FEEDBACK_WRITE,
    subjects.RAG_LIST_FEEDBACK: P.FEEDBACK_WRITE,
    subjects.RAG_DELETE_FEEDBACK: P.FEEDBACK_WRITE,
    subjects.RAG_COUNT_CITATIONS: P.TURNS_WRITE,
    subjects.RAG_EXPORT_USER: P.ACCOUNT_WRITE,
    subjects.RAG_ERASE_USER: P.ACCOUNT_WRITE,
    subjects.ALL_INGEST_EVENTS: Standing.TOLD,
}

_ACCOUNTS: dict[str, P | Standing] = {
    subjects.ACCOUNTS_LOG_IN: Standing.PROOF,
    subjects.ACCOUNTS_LOG_IN_WITH_KEY: Standing.PROOF,
    subjects.ACCOUNTS_READ_LOGIN_PROVIDER: Standing.SERVICES,
    subjects.ACCOUNTS_BEGIN_PROVIDER_LOGIN: Standing.SERVICES,
    subjects.ACCOUNTS_COMPLETE_PROVIDER_LOGIN: Standing.PROOF,
    subjects.ACCOUNTS_REFRESH_SESSION: Standing.PROOF,
    subjects.ACCOUNTS_ACCEPT_INVITATION: Standing.PROOF,
    subjects.ACCOUNTS_RESET_PASSWORD: Standing.PROOF,
    subjects.ACCOUNTS_CHECK_KEY: Standing.PROOF,
    subjects.ACCOUNTS_CHECK_SESSION: Standing.SERVICES,
    subjects.ACCOUNTS_PUBLISHED_KEYS: Standing.SERVICES,
    subjects.ACCOUNTS_READ_REVOCATIONS: Standing.SERVICES,
    subjects.ACCOUNTS_READ_PROVIDER_LOGOUT: P.ACCOUNT_WRITE,
    subjects.ACCOUNTS_LIST_SESSIONS: P.ACCOUNT_READ,
    subjects.ACCOUNTS_END_SESSION: P.ACCOUNT_WRITE,
    subjects.ACCOUNTS_END_SESSIONS: P.ACCOUNT_WRITE,
    subjects.ACCOUNTS_READ_USER: P.ACCOUNT_READ,
    subjects.ACCOUNTS_CHANGE_USER: P.ACCOUNT_WRITE,
    subjects.ACCOUNTS_CHANGE_PASSWORD: P.ACCOUNT_WRITE,
    subjects.ACCOUNTS_CREATE_USER: P.USERS_WRITE,
    subjects.ACCOUNTS_LIST_USERS: P.USERS_READ,
    subjects.ACCOUNTS_CREATE_INVITATION: P.USERS_WRITE,
    subjects.ACCOUNTS_LIST_INVITATIONS: P.USERS_READ,
    subjects.ACCOUNTS_REVOKE_INVITATION: P.USERS_WRITE,
    subjects.ACCOUNTS_CREATE_PASSWORD_RESET: P.USERS_WRITE,
    subjects.ACCOUNTS_CREATE_KEY: P.KEYS_WRITE,
    subjects.ACCOUNTS_LIST_KEYS: P.KEYS_READ,
    subjects.ACCOUNTS_REVOKE_KEY: P.KEYS_WRITE,
    subjects.ACCOUNTS_ROTATE_SIGNING_KEY: P.SIGNING_KEYS_WRITE,
    subjects.ACCOUNTS_CREATE_BOT: P.BOTS_WRITE,
    subjects.ACCOUNTS_READ_BOT: P.BOTS_READ,
    subjects.ACCOUNTS_LIST_BOTS: P.BOTS_READ,
    subjects.ACCOUNTS_CHANGE_BOT: P.BOTS_WRITE,
    subjects.ACCOUNTS_DELETE_BOT: P.BOTS_WRITE,
    subjects.ACCOUNTS_LIST_BOT_VERSIONS: P.BOTS_READ,
    subjects.ACCOUNTS_READ_BOT_VERSION: P.BOTS_READ,
    subjects.ACCOUNTS_RESTORE_BOT_VERSION: P.BOTS_WRITE,
    subjects.ACCOUNTS_SET_PROVIDER_KEY: P.PROVIDER_KEYS_WRITE,
    subjects.ACCOUNTS_LIST_PROVIDER_KEYS: P.BOTS_READ,
    subjects.ACCOUNTS_DELETE_PROVIDER_KEY: P.PROVIDER_KEYS_WRITE,
    subjects.ACCOUNTS_ROTATE_KEK: P.KEK_ROTATE,
    subjects.ACCOUNTS_READ_DATA_KEY: P.KEK_ROTATE,
    subjects.ACCOUNTS_ROTATE_DATA_KEY: P.KEK_ROTATE,
    subjects.ACCOUNTS_CREATE_GROUP: P.GROUPS_WRITE,
    subjects.ACCOUNTS_READ_GROUP: P.GROUPS_READ,
    subjects.ACCOUNTS_LIST_GROUPS: P.GROUPS_READ,
    subjects.ACCOUNTS_LIST_OWN_GROUPS: P.ACCOUNT_READ,
    subjects.ACCOUNTS_CHANGE_GROUP: P.GROUPS_WRITE,
    subjects.ACCOUNTS_DELETE_GROUP: P.GROUPS_WRITE,
    subjects.ACCOUNTS_LIST_GROUP_MEMBERS: P.GROUPS_READ,
    subjects.ACCOUNTS_ADD_GROUP_MEMBER: P.GROUPS_WRITE,
    subjects.ACCOUNTS_REMOVE_GROUP_MEMBER: P.GROUPS_WRITE,
    subjects.ACCOUNTS_LIST_ALL_KEYS: P.USERS_READ,
    subjects.ACCOUNTS_LIST_ALL_BOTS: P.USERS_READ,
    subjects.ACCOUNTS_READ_ANY_BOT: P.USERS_READ,
    subjects.ACCOUNTS_BLOCK_BOT: P.USERS_WRITE,
    subjects.ACCOUNTS_SHARE_BOT: P.BOTS_WRITE,
    subjects.ACCOUNTS_UNSHARE_BOT: P.BOTS_WRITE,
    subjects.ACCOUNTS_LIST_BOT_SHARES: P.BOTS_READ,
    subjects.ACCOUNTS_LIST_SHARED_BOTS: P.TURNS_WRITE,
    subjects.ACCOUNTS_READ_SHARED_BOT: P.TURNS_WRITE,
    subjects.ACCOUNTS_ASK_BOT: P.TURNS_WRITE,
    subjects.ACCOUNTS_READ_PUBLIC_BOT: Standing.SERVICES,
    subjects.ACCOUNTS_RECORD_USAGE: P.TURNS_WRITE,
    subjects.ACCOUNTS_READ_TOTALS: Standing.SERVICES,
    subjects.ACCOUNTS_READ_USAGE: P.ACCOUNT_READ,
    subjects.ACCOUNTS_LIST_AUDIT: P.AUDIT_READ,
    subjects.ACCOUNTS_OPEN_AUDIT_EXPORT: P.AUDIT_READ,
    subjects.ACCOUNTS_READ_AUDIT_SEGMENT: P.AUDIT_READ,
    subjects.ACCOUNTS_CHECK_AUDIT: P.AUDIT_READ,
    subjects.ACCOUNTS_CREATE_EXPORT: P.ACCOUNT_WRITE,
    subjects.ACCOUNTS_READ_EXPORT: P.ACCOUNT_READ,
    subjects.ACCOUNTS_CREATE_ERASURE: P.ACCOUNT_WRITE,
    subjects.ACCOUNTS_LIST_DATA_JOBS: P.ACCOUNT_READ,
    subjects.BOT_CHANGED: Standing.TOLD,
    subjects.ACCOUNTS_REVOKED: Standing.TOLD,
    subjects.ACCOUNTS_KEYS_CHANGED: Standing.TOLD,
    subjects.ALL_AUDIT_EVENTS: Standing.TOLD,
    subjects.AUDIT_ANCHORED: Standing.TOLD,
}
"""For what is one's own; `OF_OTHERS` is what another's needs instead."""

_NOTICES: dict[str, P | Standing] = {
    subjects.ACCOUNTS_LIST_NOTICES: P.ACCOUNT_READ,
    subjects.ACCOUNTS_MARK_NOTICES_READ: P.ACCOUNT_WRITE,
    subjects.ACCOUNTS_READ_NOTICE_SETTINGS: P.ACCOUNT_READ,
    subjects.ACCOUNTS_CHANGE_NOTICE_SETTINGS: P.ACCOUNT_WRITE,
    subjects.ACCOUNTS_CREATE_WEBHOOK: P.WEBHOOKS_WRITE,
    subjects.ACCOUNTS_READ_WEBHOOK: P.WEBHOOKS_READ,
    subjects.ACCOUNTS_LIST_WEBHOOKS: P.WEBHOOKS_READ,
    subjects.ACCOUNTS_CHANGE_WEBHOOK: P.WEBHOOKS_WRITE,
    subjects.ACCOUNTS_DELETE_WEBHOOK: P.WEBHOOKS_WRITE,
    subjects.ACCOUNTS_ROTATE_WEBHOOK_SECRET: P.WEBHOOKS_WRITE,
    subjects.ACCOUNTS_TRY_WEBHOOK: P.WEBHOOKS_WRITE,
    subjects.ACCOUNTS_FORGOT_PASSWORD: Standing.PROOF,
    subjects.ALL_NOTICE_EVENTS: Standing.TOLD,
    subjects.DOCUMENT_FAILED: Standing.TOLD,
}

_TOOLS: dict[str, P | Standing] = {
    subjects.TOOL_DESCRIBE: Standing.TOLD,
    subjects.ALL_TOOL_OFFERS: Standing.TOLD,
    subjects.ALL_TOOL_GIVE_UPS: Standing.TOLD,
    subjects.TOOL_SEARCH_KNOWLEDGE: P.DOCUMENTS_READ,
    subjects.TOOL_READ_FILE: P.DOCUMENTS_READ,
    subjects.TOOL_ANALYSE_TABLE: P.DOCUMENTS_READ,
    subjects.TOOL_READ_PAGE: P.WEB_USE,
    subjects.TOOL_HTTP_REQUEST: P.WEB_USE,
    subjects.TOOL_CALCULATE: P.TURNS_WRITE,
    subjects.ALL_OUTSIDE_TOOL_CALLS: P.TURNS_WRITE,
}

OF_OTHERS: dict[str, P] = {
    subjects.ACCOUNTS_LIST_SESSIONS: P.USERS_READ,
    subjects.ACCOUNTS_END_SESSIONS: P.USERS_WRITE,
    subjects.ACCOUNTS_READ_USER: P.USERS_READ,
    subjects.ACCOUNTS_READ_USAGE: P.USERS_READ,
    subjects.ACCOUNTS_CHANGE_USER: P.USERS_WRITE,
    subjects.ACCOUNTS_LIST_KEYS: P.USERS_READ,
    subjects.ACCOUNTS_REVOKE_KEY: P.USERS_WRITE,
    subjects.ACCOUNTS_CREATE_EXPORT: P.USERS_WRITE,
    subjects.ACCOUNTS_CREATE_ERASURE: P.USERS_WRITE,
    subjects.ACCOUNTS_LIST_DATA_JOBS: P.USERS_READ,
}
"""What a subject needs where it is about another user; every other one is about one's own alone."""

SUBJECTS: dict[str, P | Standing] = {
    **_TURNS,
    **_MEMORY,
    **_RAG,
    **_ACCOUNTS,
    **_NOTICES,
    **_TOOLS,
    subjects.BROWSER_READ: P.WEB_USE,
    subjects.LLM_MODELS: Standing.SERVICES,
    subjects.LLM_PULL_MODEL: P.MODELS_WRITE,
    subjects.LLM_CANCEL_PULL: P.MODELS_WRITE,
    subjects.LLM_LIST_PULLS: P.MODELS_WRITE,
    subjects.LLM_DELETE_MODEL: P.MODELS_WRITE,
    subjects.LLM_PULL_CHANGED: Standing.TOLD,
    subjects.LLM_MODELS_CHANGED: Standing.TOLD,
    subjects.LLM_ERASE_USER: P.ACCOUNT_WRITE,
    subjects.NPU_EMBED: Standing.SERVICES,
    subjects.NPU_RECOGNISE: Standing.SERVICES,
    subjects.NPU_RERANK: Standing.SERVICES,
    subjects.ALL_HEALTH: Standing.SERVICES,
}
"""By the pattern of the channel."""
