"""Requests about the audit: search it, export it, verify it. Accounts answers them."""

from typing import Annotated, Literal

from pydantic import Field

from parley_contracts.accounts import PrincipalRequest
from parley_contracts.audit import AuditAnchored, AuditRow, Digest, Outcome
from parley_contracts.credentials import PublishedKey
from parley_contracts.model import MAX_EXACT, UnixMs, WireModel

Seq = Annotated[int, Field(ge=0, le=MAX_EXACT)]
_Word = Annotated[str, Field(min_length=1, max_length=128)]


class ListAudit(PrincipalRequest):
    """Request: rows that are all that is asked for, the newest first."""

    type: Literal["list_audit"] = "list_audit"
    actor_id: _Word | None = None
    action: _Word | None = None
    object_kind: _Word | None = None
    object_id: _Word | None = Field(
        default=None, description="An id, or a name that was told as a hash: that is looked for then."
    )
    outcome: Outcome | None = None
    from_ms: UnixMs | None = Field(default=None, description="At that time or later.")
    before_ms: UnixMs | None = Field(default=None, description="Before that time.")
    before_seq: Seq | None = Field(default=None, description="Where the last page ended.")
    limit: int = Field(default=100, ge=1, le=500)


class AuditPage(WireModel):
    """Rows; `next_before_seq` is None on the last page."""

    type: Literal["audit_page"] = "audit_page"
    rows: tuple[AuditRow, ...]
    next_before_seq: int | None = None


class OpenAuditExport(PrincipalRequest):
    """Request: what an export of these rows begins and ends with, now."""

    type: Literal["open_audit_export"] = "open_audit_export"
    after_seq: Seq = 0
    limit: int | None = Field(default=None, ge=1, le=MAX_EXACT, description="How many rows; all by default.")


class ExportBounds(WireModel):
    """From which row to which an export reaches, signed: what is missing at either end shows."""

    first_seq: int = Field(ge=1)
    prev_hash: Digest = Field(description="Of the row before the first; zeros where there never was one.")
    last_seq: int = Field(ge=0, description="Less than the first where there are no rows.")
    last_hash: Digest
    head_seq: int = Field(ge=0, description="Where the chain ended then.")
    at_ms: UnixMs
    kid: str = Field(max_length=64)
    signature: str = Field(max_length=128, description="Ed25519, base64url without padding.")


class AuditExport(WireModel):
    """The chain as it is. An export has the rows that its bounds name; without them nobody vouches for it."""

    type: Literal["audit_export"] = "audit_export"
    installation: str
    key: PublishedKey | None = Field(
        description="By which anchors, checkpoint and bounds are signed; None where it is missing."
    )
    bounds: ExportBounds | None = None
    fault: str | None = Field(
        default=None,
        description="Why there are no bounds: the chain is known to be broken, as verdicts tell it.",
    )
    checkpoint: AuditAnchored | None = Field(
        default=None, description="What stood before the oldest row; None where none was removed yet."
    )
    head_seq: int
    head_hash: str


class ReadAuditSegment(PrincipalRequest):
    """Request: rows in their order with the anchors of these, for an export."""

    type: Literal["read_audit_segment"] = "read_audit_segment"
    after_seq: Seq = 0
    until_seq: Seq
    limit: int = Field(default=500, ge=1, le=1000)


class AuditSegment(WireModel):
    """Rows and anchors; fewer rows than were asked for are the last."""

    type: Literal["audit_segment"] = "audit_segment"
    rows: tuple[AuditRow, ...]
    anchors: tuple[AuditAnchored, ...]


class CheckAudit(PrincipalRequest):
    """Request: does the chain hold, from behind a row that was checked before?"""

    type: Literal["check_audit"] = "check_audit"
    after_seq: Seq = 0
    limit: int = Field(default=2000, ge=1, le=5000)


class AuditVerdict(WireModel):
    """How the chain stands; `next_after_seq` is None when its end was reached, or a fault."""

    type: Literal["audit_verdict"] = "audit_verdict"
    rows: int = Field(description="Rows that were looked at.")
    anchors: int = Field(description="Signatures that were compared with their rows.")
    is_whole: bool = Field(description="No fault was found.")
    broken_seq: int | None = Field(default=None, description="The first row at which it does not hold.")
    fault: str | None = Field(
        default=None,
        description="`changed`, `unlinked`, `cut`, `not_anchored`, `bad_signature`, `other_key` or `no_key`.",
    )
    head_seq: int
    anchored_seq: int = Field(description="Up to where it is signed; 0 where nothing is.")
    is_compared: bool = Field(description="The last anchor on the bus was looked at as well.")
    next_after_seq: int | None = None
