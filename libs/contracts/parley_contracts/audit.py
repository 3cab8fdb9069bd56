"""What the audit says: who did what to which object, from where. Ids and names of fields, never values.

What people write can stand in none of its fields: each takes one form, and an id of another form is hashed.
"""

import hashlib
import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from parley_contracts.model import MAX_EXACT, UnixMs, WireModel

_HASHED = r"h-[0-9a-f]{24}"
_KNOWN_ID = (
    r"local-owner|owner|[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|visitor-[0-9a-f]{32}-[0-9a-f]{32}"
)
ID_FORM = rf"^(?:{_KNOWN_ID}|{_HASHED})?$"
ROUTE_FORM = r"^(?:[A-Z]{3,9} (?:/[a-z0-9_.:{}-]*){1,12})?$"
NAME_FORM = r"^[a-z][a-z0-9_]{0,63}$"
_ID = re.compile(_KNOWN_ID)
_NAME = re.compile(NAME_FORM)

AuditId = Annotated[str, StringConstraints(pattern=ID_FORM)]
AuditName = Annotated[str, StringConstraints(pattern=NAME_FORM)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ActorKind(StrEnum):
    """By what who did it was known; `unknown` has shown nothing that proves who it is."""

    USER = "user"
    KEY = "key"
    VISITOR = "visitor"
    SERVICE = "service"
    SYSTEM = "system"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """What became of it: done, refused to who asked, or broken off by a fault of ours."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class ObjectKind(StrEnum):
    """What something was done to."""

    USER = "user"
    SESSION = "session"
    INVITATION = "invitation"
    PASSWORD_RESET = "password_reset"
    KEY = "key"
    BOT = "bot"
    GROUP = "group"
    GROUP_MEMBER = "group_member"
    PROVIDER_KEY = "provider_key"
    WEBHOOK = "webhook"
    SIGNING_KEY = "signing_key"
    KEK = "kek"
    DATA_KEY = "data_key"
    CONVERSATION = "conversation"
    ATTACHMENT = "attachment"
    DOCUMENT = "document"
    COLLECTION = "collection"
    MODEL = "model"
    ROUTE = "route"
    AUDIT = "audit"


class Action(StrEnum):
    """What was done, or tried."""

    SESSION_OPENED = "session_opened"
    SESSION_REFRESHED = "session_refreshed"
    SESSION_ENDED = "session_ended"
    SESSIONS_ENDED = "sessions_ended"
    REFRESH_TOKEN_REUSED = "refresh_token_reused"
    USER_CREATED = "user_created"
    USER_CHANGED = "user_changed"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET = "password_reset"
    PASSWORD_RESET_CREATED = "password_reset_created"
    INVITATION_CREATED = "invitation_created"
    INVITATION_REVOKED = "invitation_revoked"
    INVITATION_ACCEPTED = "invitation_accepted"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    KEY_CHECKED = "key_checked"
    EXPORT_ASKED = "export_asked"
    ERASURE_ASKED = "erasure_asked"
    BOT_CREATED = "bot_created"
    BOT_CHANGED = "bot_changed"
    BOT_DELETED = "bot_deleted"
    BOT_RESTORED = "bot_restored"
    BOT_SHARED = "bot_shared"
    BOT_UNSHARED = "bot_unshared"
    BOT_BLOCKED = "bot_blocked"
    GROUP_CREATED = "group_created"
    GROUP_CHANGED = "group_changed"
    GROUP_DELETED = "group_deleted"
    GROUP_MEMBER_ADDED = "group_member_added"
    GROUP_MEMBER_REMOVED = "group_member_removed"
    PROVIDER_KEY_SET = "provider_key_set"
    PROVIDER_KEY_DELETED = "provider_key_deleted"
    PASSWORD_FORGOTTEN = "password_forgotten"
    NOTICE_SETTINGS_CHANGED = "notice_settings_changed"
    WEBHOOK_CREATED = "webhook_created"
    WEBHOOK_CHANGED = "webhook_changed"
    WEBHOOK_DELETED = "webhook_deleted"
    WEBHOOK_SECRET_ROTATED = "webhook_secret_rotated"
    WEBHOOK_TRIED = "webhook_tried"
    SIGNING_KEY_ROTATED = "signing_key_rotated"
    KEK_ROTATED = "kek_rotated"
    DATA_KEY_ROTATED = "data_key_rotated"
    CONVERSATION_RENAMED = "conversation_renamed"
    CONVERSATION_DELETED = "conversation_deleted"
    ATTACHMENT_CREATED = "attachment_created"
    ATTACHMENT_DELETED = "attachment_deleted"
    DOCUMENT_CREATED = "document_created"
    DOCUMENT_CANCELLED = "document_cancelled"
    DOCUMENT_REINDEXED = "document_reindexed"
    DOCUMENT_DELETED = "document_deleted"
    COLLECTION_CREATED = "collection_created"
    COLLECTION_REINDEXED = "collection_reindexed"
    COLLECTION_DELETED = "collection_deleted"
    MODEL_PULLED = "model_pulled"
    MODEL_PULL_CANCELLED = "model_pull_cancelled"
    MODEL_DELETED = "model_deleted"
    ROUTE_REQUESTED = "route_requested"
    AUDIT_EXPORTED = "audit_exported"
    ROWS_REMOVED = "rows_removed"
    EVENTS_LOST = "events_lost"


class Provenance(WireModel):
    """From where something was asked, as the gateway saw it; empty where there is none."""

    address: str = Field(default="", pattern=r"^[0-9a-f.:]{0,45}$", description="The client's IP address.")
    agent: str = Field(
        default="", pattern=r"^(?:[0-9a-f]{12})?$", description="The user agent: the start of its SHA-256."
    )
    credential: AuditId = Field(default="", description="The session or API key that was shown.")
    request_id: AuditId = Field(default="", description="What the client knows the request by.")


class AuditDetails(WireModel):
    """What else is told."""

    changed: tuple[AuditName, ...] = Field(
        default=(), max_length=64, description="Names of the fields that were given."
    )
    of: AuditId = Field(default="", description="What the object is a part of.")
    code: AuditName | None = Field(default=None, description="The error it was refused or failed with.")
    route: str = Field(
        default="", pattern=ROUTE_FORM, description="Method and path of a route, as it is declared."
    )
    count: int | None = Field(
        default=None, ge=1, le=MAX_EXACT, description="How many there were, where one stands for more."
    )


class AuditEvent(WireModel):
    """Domain event: somebody did something, or tried to. At least once; the id tells repeats."""

    type: Literal["audit_event"] = "audit_event"
    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    at_ms: UnixMs
    action: AuditName = Field(description="One of `Action`, or of a later version's.")
    outcome: Outcome
    actor_kind: ActorKind
    actor_id: AuditId = Field(default="", description="The user, whatever he was known by; or the visitor.")
    object_kind: AuditName = Field(description="One of `ObjectKind`, or of a later version's.")
    object_id: AuditId = Field(
        default="", description="Hashed, `h-...`, where what names it is no id of ours."
    )
    provenance: Provenance = Provenance()
    details: AuditDetails = AuditDetails()


class AuditRow(WireModel):
    """An event as it is kept: a link of the chain. `audit_chain` of `parley_identity` says what is hashed.

    It takes what the table says, also where somebody has changed that.
    """

    seq: int
    event_id: str
    at_ms: int
    recorded_at_ms: int = Field(description="When it was written; never less than the row before it says.")
    writer: str = Field(description="The service that told it.")
    action: str
    outcome: str
    actor_kind: str
    actor_id: str
    object_kind: str
    object_id: str
    address: str
    agent: str
    credential: str
    request_id: str
    details: str = Field(description="`AuditDetails` as JSON, without what is empty.")
    prev_hash: str = Field(description="Of the row before; zeros for the first.")
    hash: str


class AnchorKind(StrEnum):
    """What a signature is for: the head of the chain, or what stood before the oldest row that is kept."""

    HEAD = "head"
    CHECKPOINT = "checkpoint"


class AuditAnchored(WireModel):
    """Domain event, and row: the hash of a row, signed. Rewriting or cutting what leads to it shows."""

    type: Literal["audit_anchored"] = "audit_anchored"
    installation: str = Field(max_length=100)
    kind: AnchorKind = AnchorKind.HEAD
    seq: int = Field(ge=1)
    hash: Digest
    at_ms: UnixMs
    kid: str = Field(max_length=64)
    signature: str = Field(max_length=128, description="Ed25519, base64url without padding.")


def as_id(text: str | None) -> str:
    """Return an id of ours as it is, and of anything else, which people may have written, a hash."""
    if not text or _ID.fullmatch(text) or re.fullmatch(_HASHED, text):
        return text or ""
    return f"h-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:24]}"


def as_names(texts: "tuple[str, ...] | list[str]") -> tuple[str, ...]:
    """Return those that are names of fields, each once."""
    return tuple(dict.fromkeys(text for text in texts if _NAME.fullmatch(text)))[:64]


def as_route(method: str, path: str) -> str:
    """Return a route as it is declared; nothing where what was asked for leads to none."""
    text = f"{method} {path}"
    return text if path and re.fullmatch(ROUTE_FORM, text) else ""


def as_address(text: str | None) -> str:
    """Return an IP address in its one form, or nothing."""
    try:
        return ipaddress.ip_address((text or "").partition("%")[0]).compressed
    except ValueError:
        return ""


def as_agent(text: str | None) -> str:
    """Return what a user agent is told as: enough to tell two apart."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12] if text else ""
