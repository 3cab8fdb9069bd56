"""Notices: what a user is told of his account and his work, in which ways, and the events behind it.

A notice carries ids and small facts, never what people wrote.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from parley_contracts.accounts import PrincipalRequest
from parley_contracts.model import UnixMs, WireModel
from parley_contracts.policy import Role

NoticeId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MAX_PAGE = 100


class NoticeKind(StrEnum):
    """What a notice is about; also the type of the event that a webhook is sent."""

    LOGIN_NEW_PLACE = "login.new_place"
    LOGIN_REFUSED = "login.refused"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    KEY_EXPIRING = "key.expiring"
    PASSWORD_CHANGED = "password.changed"
    ROLE_CHANGED = "role.changed"
    DOCUMENT_FAILED = "document.failed"
    QUOTA_NEAR = "quota.near"
    QUOTA_REACHED = "quota.reached"
    EXPORT_READY = "export.ready"
    WEBHOOK_FAILING = "webhook.failing"
    WEBHOOK_DISABLED = "webhook.disabled"


class NoticeFacts(WireModel):
    """What a notice tells; what its kind has no use for is left out."""

    session_id: str | None = None
    key_id: str | None = None
    document_id: str | None = Field(default=None, description="Of several, the last.")
    webhook_id: str | None = None
    export_id: str | None = None
    network: str | None = Field(default=None, description="Where somebody came from, without its last part.")
    role: Role | None = None
    quota: str | None = Field(default=None, max_length=40, description="Which, such as `tokens_day`.")
    percent: int | None = Field(default=None, ge=0, le=1000, description="Of the quota that is used.")
    expires_at_ms: int | None = None
    status: int | None = Field(default=None, description="What a webhook's server answered at last.")


class Notice(WireModel):
    """One notice, or several of one kind in a short time: `count` says how many."""

    id: str
    kind: NoticeKind
    at_ms: int = Field(description="When it happened; of several, the last.")
    count: int = 1
    read_at_ms: int | None = None
    facts: NoticeFacts = NoticeFacts()


class ListNotices(PrincipalRequest):
    """Request: one's own notices, the unread first, in each part the latest first."""

    type: Literal["list_notices"] = "list_notices"
    unread_only: bool = False
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(default=None, max_length=200, description="Where the last page ended.")


class NoticeList(WireModel):
    """A page of notices; `next_cursor` is None on the last."""

    type: Literal["notice_list"] = "notice_list"
    notices: tuple[Notice, ...]
    unread: int = Field(description="How many are unread in all.")
    next_cursor: str | None = None


class MarkNoticesRead(PrincipalRequest):
    """Request: mark notices as read; ids that are not one's own change nothing."""

    type: Literal["mark_notices_read"] = "mark_notices_read"
    ids: tuple[NoticeId, ...] | None = Field(default=None, max_length=MAX_PAGE, description="None is all.")


class NoticesRead(WireModel):
    """How many were unread, and how many still are."""

    type: Literal["notices_read"] = "notices_read"
    changed: int
    unread: int


class NoticeSetting(WireModel):
    """In which ways a user is told of one kind."""

    kind: NoticeKind
    in_app: bool
    mail: bool
    webhook: bool
    is_always_mailed: bool = Field(
        default=False, description="Also with `mail` off: who takes an account over cannot keep it quiet."
    )


class ReadNoticeSettings(PrincipalRequest):
    """Request: in which ways one is told."""

    type: Literal["read_notice_settings"] = "read_notice_settings"


class NoticeChoice(WireModel):
    """What is to change for one kind; None stays as it is."""

    kind: NoticeKind
    in_app: bool | None = None
    mail: bool | None = None
    webhook: bool | None = None


class ChangeNoticeSettings(PrincipalRequest):
    """Request: be told in other ways."""

    type: Literal["change_notice_settings"] = "change_notice_settings"
    choices: tuple[NoticeChoice, ...] = Field(min_length=1, max_length=len(NoticeKind))


class NoticeSettings(WireModel):
    """In which ways one is told, for every kind; mail also needs an address and a server that sends it."""

    type: Literal["notice_settings"] = "notice_settings"
    settings: tuple[NoticeSetting, ...]
    can_mail: bool = Field(description="Whether this installation sends mail and the user has an address.")


# -- events -------------------------------------------------------------------------------------------


class NoticeChanged(WireModel):
    """Event: a user has something new to read, or has read something elsewhere."""

    type: Literal["notice_changed"] = "notice_changed"
    user_id: str


class DocumentFailed(WireModel):
    """Event: a document could not be read or indexed."""

    type: Literal["document_failed"] = "document_failed"
    owner_id: str
    document_id: str
    failed_at_ms: UnixMs
