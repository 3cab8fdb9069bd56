"""Every subject on the bus, as builders with inverse parsers. Nothing else may spell a subject."""

import re

from parley_contracts.subject_parts import PenSlot, TurnEvents
from parley_contracts.subject_parts import checked as _part
from parley_contracts.subject_parts import parts_of as _parts

PREFIX = "parley.v1"

_SLOT = re.compile(r"[1-9][0-9]*")

# -- turns ------------------------------------------------------------------------------------------

_START = f"{PREFIX}.turn.start"
_PEN = f"{PREFIX}.turn.pen"
_CANCEL = f"{PREFIX}.turn.cancel"
_HOLD = f"{PREFIX}.turn.hold"
_EVENTS = f"{PREFIX}.turn.events"
_QUEUE = f"{PREFIX}.turn.queue"
_SUBMIT = f"{PREFIX}.turn.submit"
TURN_ERASE_USER = f"{PREFIX}.turn.erase_user"
ALL_TURN_STARTS = f"{_START}.*"
ALL_PEN_SLOTS = f"{_PEN}.*.*"
ALL_CANCELS = f"{_CANCEL}.*"
ALL_HOLDS = f"{_HOLD}.*"
ALL_TURN_EVENTS = f"{_EVENTS}.*.*"
ALL_TURN_QUEUES = f"{_QUEUE}.*.*"
ALL_SUBMITS = f"{_SUBMIT}.*"


def turn_start(turn_id: str) -> str:
    """Return the subject on which a turn waits for a runner."""
    return f"{_START}.{_part(turn_id)}"


def parse_turn_start(subject: str) -> str:
    """Return the turn id of a waiting turn; ValueError for any other subject."""
    return _parts(subject, _START, 1)[0]


def pen_slot(turn_id: str, number: int) -> str:
    """Return the subject of slot `number` (from 1) of a turn's pen."""
    if number < 1:
        raise ValueError(f"pen slots count from 1, not {number}")
    return f"{_PEN}.{_part(turn_id)}.{number}"


def parse_pen_slot(subject: str) -> PenSlot:
    """Return what `pen_slot` was given; ValueError for any other subject."""
    turn_id, number = _parts(subject, _PEN, 2)
    if not _SLOT.fullmatch(number):
        raise ValueError(f"not a {_PEN} subject: {subject!r}")
    return PenSlot(turn_id, int(number))


def pen_slots_of(turn_id: str) -> str:
    """Return the filter that matches every pen slot of one turn."""
    return f"{_PEN}.{_part(turn_id)}.*"


def turn_cancel(turn_id: str) -> str:
    """Return the subject on which a turn's stop is stored."""
    return f"{_CANCEL}.{_part(turn_id)}"


def parse_turn_cancel(subject: str) -> str:
    """Return the turn id of a stop; ValueError for any other subject."""
    return _parts(subject, _CANCEL, 1)[0]


def turn_hold(turn_id: str) -> str:
    """Return the subject on which whoever holds a turn's job answers."""
    return f"{_HOLD}.{_part(turn_id)}"


def parse_turn_hold(subject: str) -> str:
    """Return the turn id of a hold question; ValueError for any other subject."""
    return _parts(subject, _HOLD, 1)[0]


def turn_events(home: str, turn_id: str) -> str:
    """Return the literal subject of one turn's event log."""
    return f"{_EVENTS}.{_part(home)}.{_part(turn_id)}"


def parse_turn_events(subject: str) -> TurnEvents:
    """Return home and turn of an event subject; ValueError for any other subject."""
    return TurnEvents(*_parts(subject, _EVENTS, 2))


def turn_events_of(home: str) -> str:
    """Return the wildcard under which one gateway process hears the turns it started."""
    return f"{_EVENTS}.{_part(home)}.*"


def turn_queue(home: str, turn_id: str) -> str:
    """Return the subject on which a waiting turn's place in its queue is told."""
    return f"{_QUEUE}.{_part(home)}.{_part(turn_id)}"


def parse_turn_queue(subject: str) -> TurnEvents:
    """Return home and turn of a queue subject; ValueError for any other subject."""
    return TurnEvents(*_parts(subject, _QUEUE, 2))


def turn_queues_of(home: str) -> str:
    """Return the wildcard under which one gateway process hears where the turns it started stand."""
    return f"{_QUEUE}.{_part(home)}.*"


def turn_submit(user: str) -> str:
    """Return the subject on which an outside service asks for turns; nobody else may publish to it."""
    return f"{_SUBMIT}.{_part(user)}"


def parse_turn_submit(subject: str) -> str:
    """Return the user that asks for a turn; ValueError for any other subject."""
    return _parts(subject, _SUBMIT, 1)[0]


# -- language models --------------------------------------------------------------------------------

_GENERATE = f"{PREFIX}.llm.generate"
ALL_GENERATE = f"{_GENERATE}.*"
LLM_MODELS = f"{PREFIX}.llm.models"
LLM_MODELS_CHANGED = f"{PREFIX}.llm.models_changed"
LLM_PULL_MODEL = f"{PREFIX}.llm.pull_model"
LLM_CANCEL_PULL = f"{PREFIX}.llm.cancel_pull"
LLM_LIST_PULLS = f"{PREFIX}.llm.list_pulls"
LLM_DELETE_MODEL = f"{PREFIX}.llm.delete_model"
LLM_PULL_CHANGED = f"{PREFIX}.llm.pull_changed"
LLM_ERASE_USER = f"{PREFIX}.llm.erase_user"


def llm_generate(pool: str) -> str:
    """Return the work-queue subject of one pool of language-model workers."""
    return f"{_GENERATE}.{_part(pool)}"


def parse_llm_generate(subject: str) -> str:
    """Return the pool of a generate job; ValueError for any other subject."""
    return _parts(subject, _GENERATE, 1)[0]


# -- ingestion --------------------------------------------------------------------------------------

_INGEST_EVENTS = f"{PREFIX}.ingest.events"
ALL_INGEST_EVENTS = f"{_INGEST_EVENTS}.*"


def ingest_events(document_id: str) -> str:
    """Return the subject on which a document's changes are told."""
    return f"{_INGEST_EVENTS}.{_part(document_id)}"


def parse_ingest_events(subject: str) -> str:
    """Return the document id of an ingestion event; ValueError for any other subject."""
    return _parts(subject, _INGEST_EVENTS, 1)[0]


# -- requests ---------------------------------------------------------------------------------------
RAG_INGEST = f"{PREFIX}.rag.ingest"
RAG_SEARCH = f"{PREFIX}.rag.search"
RAG_CREATE_DOCUMENT = f"{PREFIX}.rag.create_document"
RAG_ADD_DOCUMENT = f"{PREFIX}.rag.add_document"
RAG_READ_DOCUMENT = f"{PREFIX}.rag.read_document"
RAG_CANCEL_DOCUMENT = f"{PREFIX}.rag.cancel_document"
RAG_REINDEX_DOCUMENT = f"{PREFIX}.rag.reindex_document"
RAG_LIST_DOCUMENTS = f"{PREFIX}.rag.list_documents"
RAG_DELETE_DOCUMENT = f"{PREFIX}.rag.delete_document"
RAG_READ_PASSAGE = f"{PREFIX}.rag.read_passage"
RAG_LIST_COLLECTIONS = f"{PREFIX}.rag.list_collections"
RAG_CREATE_COLLECTION = f"{PREFIX}.rag.create_collection"
RAG_DELETE_COLLECTION = f"{PREFIX}.rag.delete_collection"
RAG_READ_COLLECTION = f"{PREFIX}.rag.read_collection"
RAG_REINDEX_COLLECTION = f"{PREFIX}.rag.reindex_collection"
RAG_RATE_CITATION = f"{PREFIX}.rag.rate_citation"
RAG_LIST_FEEDBACK = f"{PREFIX}.rag.list_feedback"
RAG_DELETE_FEEDBACK = f"{PREFIX}.rag.delete_feedback"
RAG_COUNT_CITATIONS = f"{PREFIX}.rag.count_citations"
RAG_READ_QUALITY = f"{PREFIX}.rag.read_quality"
RAG_EXPORT_USER = f"{PREFIX}.rag.export_user"
RAG_ERASE_USER = f"{PREFIX}.rag.erase_user"

MEMORY_STORE_USER_MESSAGE = f"{PREFIX}.memory.store_user_message"
MEMORY_STORE_TURN = f"{PREFIX}.memory.store_turn"
MEMORY_READ_HISTORY = f"{PREFIX}.memory.read_history"
MEMORY_READ_TURN = f"{PREFIX}.memory.read_turn"
MEMORY_LIST_CONVERSATIONS = f"{PREFIX}.memory.list_conversations"
MEMORY_READ_CONVERSATION = f"{PREFIX}.memory.read_conversation"
MEMORY_RENAME_CONVERSATION = f"{PREFIX}.memory.rename_conversation"
MEMORY_DELETE_CONVERSATION = f"{PREFIX}.memory.delete_conversation"
MEMORY_CREATE_ATTACHMENT = f"{PREFIX}.memory.create_attachment"
MEMORY_FINISH_ATTACHMENT = f"{PREFIX}.memory.finish_attachment"
MEMORY_USE_ATTACHMENTS = f"{PREFIX}.memory.use_attachments"
MEMORY_LIST_ATTACHMENTS = f"{PREFIX}.memory.list_attachments"
MEMORY_DELETE_ATTACHMENT = f"{PREFIX}.memory.delete_attachment"
MEMORY_EXPORT_USER = f"{PREFIX}.memory.export_user"
MEMORY_ERASE_USER = f"{PREFIX}.memory.erase_user"

NPU_EMBED = f"{PREFIX}.npu.embed"
NPU_RECOGNISE = f"{PREFIX}.npu.recognise"
NPU_RERANK = f"{PREFIX}.npu.rerank"

BROWSER_READ = f"{PREFIX}.browser.read"

ACCOUNTS_LOG_IN = f"{PREFIX}.accounts.log_in"
ACCOUNTS_LOG_IN_WITH_KEY = f"{PREFIX}.accounts.log_in_with_key"
ACCOUNTS_READ_LOGIN_PROVIDER = f"{PREFIX}.accounts.read_login_provider"
ACCOUNTS_BEGIN_PROVIDER_LOGIN = f"{PREFIX}.accounts.begin_provider_login"
ACCOUNTS_COMPLETE_PROVIDER_LOGIN = f"{PREFIX}.accounts.complete_provider_login"
ACCOUNTS_READ_PROVIDER_LOGOUT = f"{PREFIX}.accounts.read_provider_logout"
ACCOUNTS_REFRESH_SESSION = f"{PREFIX}.accounts.refresh_session"
ACCOUNTS_LIST_SESSIONS = f"{PREFIX}.accounts.list_sessions"
ACCOUNTS_END_SESSION = f"{PREFIX}.accounts.end_session"
ACCOUNTS_END_SESSIONS = f"{PREFIX}.accounts.end_sessions"
ACCOUNTS_CREATE_USER = f"{PREFIX}.accounts.create_user"
ACCOUNTS_READ_USER = f"{PREFIX}.accounts.read_user"
ACCOUNTS_LIST_USERS = f"{PREFIX}.accounts.list_users"
ACCOUNTS_CHANGE_USER = f"{PREFIX}.accounts.change_user"
ACCOUNTS_CHANGE_PASSWORD = f"{PREFIX}.accounts.change_password"
ACCOUNTS_CREATE_INVITATION = f"{PREFIX}.accounts.create_invitation"
ACCOUNTS_LIST_INVITATIONS = f"{PREFIX}.accounts.list_invitations"
ACCOUNTS_REVOKE_INVITATION = f"{PREFIX}.accounts.revoke_invitation"
ACCOUNTS_ACCEPT_INVITATION = f"{PREFIX}.accounts.accept_invitation"
ACCOUNTS_CREATE_PASSWORD_RESET = f"{PREFIX}.accounts.create_password_reset"
ACCOUNTS_RESET_PASSWORD = f"{PREFIX}.accounts.reset_password"
ACCOUNTS_CREATE_KEY = f"{PREFIX}.accounts.create_key"
ACCOUNTS_LIST_KEYS = f"{PREFIX}.accounts.list_keys"
ACCOUNTS_REVOKE_KEY = f"{PREFIX}.accounts.revoke_key"
ACCOUNTS_CHECK_KEY = f"{PREFIX}.accounts.check_key"
ACCOUNTS_CHECK_SESSION = f"{PREFIX}.accounts.check_session"
ACCOUNTS_PUBLISHED_KEYS = f"{PREFIX}.accounts.published_keys"
ACCOUNTS_ROTATE_SIGNING_KEY = f"{PREFIX}.accounts.rotate_signing_key"
ACCOUNTS_READ_REVOCATIONS = f"{PREFIX}.accounts.read_revocations"
ACCOUNTS_CREATE_BOT = f"{PREFIX}.accounts.create_bot"
ACCOUNTS_READ_BOT = f"{PREFIX}.accounts.read_bot"
ACCOUNTS_LIST_BOTS = f"{PREFIX}.accounts.list_bots"
ACCOUNTS_CHANGE_BOT = f"{PREFIX}.accounts.change_bot"
ACCOUNTS_DELETE_BOT = f"{PREFIX}.accounts.delete_bot"
ACCOUNTS_LIST_BOT_VERSIONS = f"{PREFIX}.accounts.list_bot_versions"
ACCOUNTS_READ_BOT_VERSION = f"{PREFIX}.accounts.read_bot_version"
ACCOUNTS_RESTORE_BOT_VERSION = f"{PREFIX}.accounts.restore_bot_version"
ACCOUNTS_SET_PROVIDER_KEY = f"{PREFIX}.accounts.set_provider_key"
ACCOUNTS_LIST_PROVIDER_KEYS = f"{PREFIX}.accounts.list_provider_keys"
ACCOUNTS_DELETE_PROVIDER_KEY = f"{PREFIX}.accounts.delete_provider_key"
ACCOUNTS_ROTATE_KEK = f"{PREFIX}.accounts.rotate_kek"
ACCOUNTS_READ_DATA_KEY = f"{PREFIX}.accounts.read_data_key"
ACCOUNTS_ROTATE_DATA_KEY = f"{PREFIX}.accounts.rotate_data_key"
ACCOUNTS_READ_PUBLIC_BOT = f"{PREFIX}.accounts.read_public_bot"
ACCOUNTS_LIST_NOTICES = f"{PREFIX}.accounts.list_notices"
ACCOUNTS_MARK_NOTICES_READ = f"{PREFIX}.accounts.mark_notices_read"
ACCOUNTS_READ_NOTICE_SETTINGS = f"{PREFIX}.accounts.read_notice_settings"
ACCOUNTS_CHANGE_NOTICE_SETTINGS = f"{PREFIX}.accounts.change_notice_settings"
ACCOUNTS_CREATE_WEBHOOK = f"{PREFIX}.accounts.create_webhook"
ACCOUNTS_READ_WEBHOOK = f"{PREFIX}.accounts.read_webhook"
ACCOUNTS_LIST_WEBHOOKS = f"{PREFIX}.accounts.list_webhooks"
ACCOUNTS_CHANGE_WEBHOOK = f"{PREFIX}.accounts.change_webhook"
ACCOUNTS_DELETE_WEBHOOK = f"{PREFIX}.accounts.delete_webhook"
ACCOUNTS_ROTATE_WEBHOOK_SECRET = f"{PREFIX}.accounts.rotate_webhook_secret"
ACCOUNTS_TRY_WEBHOOK = f"{PREFIX}.accounts.try_webhook"
ACCOUNTS_FORGOT_PASSWORD = f"{PREFIX}.accounts.forgot_password"
ACCOUNTS_RECORD_USAGE = f"{PREFIX}.accounts.record_usage"
ACCOUNTS_READ_TOTALS = f"{PREFIX}.accounts.read_totals"
ACCOUNTS_READ_USAGE = f"{PREFIX}.accounts.read_usage"
ACCOUNTS_LIST_AUDIT = f"{PREFIX}.accounts.list_audit"
ACCOUNTS_OPEN_AUDIT_EXPORT = f"{PREFIX}.accounts.open_audit_export"
ACCOUNTS_READ_AUDIT_SEGMENT = f"{PREFIX}.accounts.read_audit_segment"
ACCOUNTS_CHECK_AUDIT = f"{PREFIX}.accounts.check_audit"
ACCOUNTS_CREATE_EXPORT = f"{PREFIX}.accounts.create_export"
ACCOUNTS_READ_EXPORT = f"{PREFIX}.accounts.read_export"
ACCOUNTS_CREATE_ERASURE = f"{PREFIX}.accounts.create_erasure"
ACCOUNTS_LIST_DATA_JOBS = f"{PREFIX}.accounts.list_data_jobs"
ACCOUNTS_CREATE_GROUP = f"{PREFIX}.accounts.create_group"
ACCOUNTS_READ_GROUP = f"{PREFIX}.accounts.read_group"
ACCOUNTS_LIST_GROUPS = f"{PREFIX}.accounts.list_groups"
ACCOUNTS_LIST_OWN_GROUPS = f"{PREFIX}.accounts.list_own_groups"
ACCOUNTS_CHANGE_GROUP = f"{PREFIX}.accounts.change_group"
ACCOUNTS_DELETE_GROUP = f"{PREFIX}.accounts.delete_group"
ACCOUNTS_LIST_GROUP_MEMBERS = f"{PREFIX}.accounts.list_group_members"
ACCOUNTS_ADD_GROUP_MEMBER = f"{PREFIX}.accounts.add_group_member"
ACCOUNTS_REMOVE_GROUP_MEMBER = f"{PREFIX}.accounts.remove_group_member"
ACCOUNTS_LIST_ALL_KEYS = f"{PREFIX}.accounts.list_all_keys"
ACCOUNTS_LIST_ALL_BOTS = f"{PREFIX}.accounts.list_all_bots"
ACCOUNTS_READ_ANY_BOT = f"{PREFIX}.accounts.read_any_bot"
ACCOUNTS_BLOCK_BOT = f"{PREFIX}.accounts.block_bot"
ACCOUNTS_SHARE_BOT = f"{PREFIX}.accounts.share_bot"
ACCOUNTS_UNSHARE_BOT = f"{PREFIX}.accounts.unshare_bot"
ACCOUNTS_LIST_BOT_SHARES = f"{PREFIX}.accounts.list_bot_shares"
ACCOUNTS_LIST_SHARED_BOTS = f"{PREFIX}.accounts.list_shared_bots"
ACCOUNTS_READ_SHARED_BOT = f"{PREFIX}.accounts.read_shared_bot"
ACCOUNTS_ASK_BOT = f"{PREFIX}.accounts.ask_bot"

# -- tools that models call -------------------------------------------------------------------------

_TOOL_OFFERED = f"{PREFIX}.tool.offered"
_TOOL_CALL = f"{PREFIX}.tool.call"
_TOOL_GIVEN_UP = f"{PREFIX}.tool.given_up"
TOOL_DESCRIBE = f"{PREFIX}.tool.describe"
ALL_TOOL_OFFERS = f"{_TOOL_OFFERED}.*"
ALL_TOOL_GIVE_UPS = f"{_TOOL_GIVEN_UP}.*"
ALL_OUTSIDE_TOOL_CALLS = f"{_TOOL_CALL}.*.*"
TOOL_SEARCH_KNOWLEDGE = f"{_TOOL_CALL}.search_knowledge"
TOOL_READ_FILE = f"{_TOOL_CALL}.read_file"
TOOL_ANALYSE_TABLE = f"{_TOOL_CALL}.analyse_table"
TOOL_READ_PAGE = f"{_TOOL_CALL}.read_page"
TOOL_HTTP_REQUEST = f"{_TOOL_CALL}.http_request"
TOOL_CALCULATE = f"{_TOOL_CALL}.calculate"


def tool_offered(user: str) -> str:
    """Return the subject on which a user of the bus tells which tools it offers; nobody else may."""
    return f"{_TOOL_OFFERED}.{_part(user)}"


def parse_tool_offered(subject: str) -> str:
    """Return the user that offers tools; ValueError for any other subject."""
    return _parts(subject, _TOOL_OFFERED, 1)[0]


def tool_given_up(user: str) -> str:
    """Return the subject on which a user that offers tools hears which calls nobody waits for any longer."""
    return f"{_TOOL_GIVEN_UP}.{_part(user)}"


def parse_tool_given_up(subject: str) -> str:
    """Return the user whose tool was called; ValueError for any other subject."""
    return _parts(subject, _TOOL_GIVEN_UP, 1)[0]


def outside_tool_call(offerer: str, name: str) -> str:
    """Return the subject on which a tool of another team's service is called."""
    return f"{_TOOL_CALL}.{_part(offerer)}.{_part(name)}"


def parse_outside_tool_call(subject: str) -> tuple[str, str]:
    """Return whose tool it is, and its name there; ValueError for any other subject."""
    offerer, name = _parts(subject, _TOOL_CALL, 2)
    return offerer, name


def tool_calls_of(offerer: str) -> str:
    """Return the wildcard under which another team's service answers the calls of its tools."""
    return f"{_TOOL_CALL}.{_part(offerer)}.*"


# -- domain events ----------------------------------------------------------------------------------

ACCOUNTS_REVOKED = f"{PREFIX}.accounts.revoked"
ACCOUNTS_KEYS_CHANGED = f"{PREFIX}.accounts.keys_changed"
BOT_CHANGED = f"{PREFIX}.bot.changed"
CONVERSATION_TURN_COMPLETED = f"{PREFIX}.conversation.turn_completed"
ALL_CONVERSATION_EVENTS = f"{PREFIX}.conversation.*"
DOCUMENT_FAILED = f"{PREFIX}.document.ingestion_failed"
_NOTICE_EVENTS = f"{PREFIX}.notice.changed"
ALL_NOTICE_EVENTS = f"{_NOTICE_EVENTS}.*"


def notice_events(user_id: str) -> str:
    """Return the subject on which it is told that a user's notices are others now."""
    return f"{_NOTICE_EVENTS}.{_part(user_id)}"


def parse_notice_events(subject: str) -> str:
    """Return the user whose notices are others now; ValueError for any other subject."""
    return _parts(subject, _NOTICE_EVENTS, 1)[0]


# -- audit ------------------------------------------------------------------------------------------

_AUDIT = f"{PREFIX}.audit"
ALL_AUDIT_EVENTS = f"{_AUDIT}.*"
AUDIT_ANCHORED = f"{_AUDIT}.accounts.anchored"


def audit_events(service: str) -> str:
    """Return the subject on which a service tells what was done; nobody else may publish to it."""
    return f"{_AUDIT}.{_part(service)}"


def parse_audit_events(subject: str) -> str:
    """Return the service that told an audit event; ValueError for any other subject."""
    return _parts(subject, _AUDIT, 1)[0]


# -- every service ----------------------------------------------------------------------------------

_HEALTH = f"{PREFIX}.health"
ALL_HEALTH = f"{_HEALTH}.*"


def service_health(service: str) -> str:
    """Return the subject on which a service answers with the state of itself and what it depends on."""
    return f"{_HEALTH}.{_part(service)}"


def parse_service_health(subject: str) -> str:
    """Return the service of a health question; ValueError for any other subject."""
    return _parts(subject, _HEALTH, 1)[0]
