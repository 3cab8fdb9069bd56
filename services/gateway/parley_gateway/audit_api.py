"""The audit: searched, exported whole, and verified."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from parley_contracts import subjects
from parley_contracts.audit import Action, ObjectKind, Outcome
from parley_contracts.audit_requests import (
    AuditExport,
    AuditPage,
    AuditSegment,
    AuditVerdict,
    CheckAudit,
    ListAudit,
    OpenAuditExport,
    ReadAuditSegment,
)
from parley_contracts.model import MAX_EXACT, WireModel
from parley_messaging import Bus
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from parley_gateway.edge import CurrentEdge, CurrentPrincipal
from parley_gateway.principal import Principal

router = APIRouter(prefix="/api/admin/audit", tags=["admin"])

ASK_S = 10.0
VERIFY_S = 45.0
"""What is not verified by then is gone on with by asking again."""
MOST_ROWS = 1_000_000

_Word = Annotated[str, Field(min_length=1, max_length=128)] | None
_Ms = Annotated[int, Field(ge=0, le=MAX_EXACT)] | None
_Seq = Annotated[int, Query(ge=0, le=MAX_EXACT)]


class Wanted(BaseModel):
    """What rows have to say; what is left out may be anything."""

    model_config = ConfigDict(extra="forbid")

    actor_id: _Word = None
    action: Action | None = None
    object_kind: ObjectKind | None = None
    object_id: _Word = Field(default=None, description="An id, or the name of a collection.")
    outcome: Outcome | None = None
    from_ms: _Ms = None
    before_ms: _Ms = None
    before_seq: _Ms = Field(default=None, description="Where the last page ended.")
    limit: Annotated[int, Field(ge=1, le=500)] = 100


@router.get("")
async def search(
    edge: CurrentEdge, principal: CurrentPrincipal, wanted: Annotated[Wanted, Query()]
) -> AuditPage:
    """Return rows that are all that is asked for, the newest first; go on at `next_before_seq`."""
    asked = ListAudit(**principal.asking, **wanted.model_dump())
    return await edge.bus.request(subjects.ACCOUNTS_LIST_AUDIT, asked, AuditPage, timeout_s=ASK_S)


@router.get("/export", response_class=StreamingResponse)
async def export(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    after_seq: _Seq = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100_000,
) -> StreamingResponse:
    """Return the audit as lines of JSON, the oldest row first: `parley audit verify --file` reads them."""
    opened = await edge.bus.request(
        subjects.ACCOUNTS_OPEN_AUDIT_EXPORT,
        OpenAuditExport(**principal.asking, after_seq=after_seq, limit=limit),
        AuditExport,
        timeout_s=ASK_S,
    )
    lines = _lines(edge.bus, principal, opened, after_seq=after_seq, limit=limit)
    return StreamingResponse(
        lines,
        media_type="application/x-ndjson",
        headers={"Content-Disposition": 'attachment; filename="parley-audit.ndjson"'},
    )


async def _lines(
    bus: Bus, principal: Principal, opened: AuditExport, *, after_seq: int, limit: int
) -> AsyncGenerator[bytes]:
    yield _line(opened)
    left, until_seq = limit, opened.bounds.last_seq if opened.bounds else opened.head_seq
    while left:
        asked = ReadAuditSegment(
            **principal.asking, after_seq=after_seq, until_seq=until_seq, limit=min(500, left)
        )
        # An answer that breaks off has no last line: whoever reads it sees that it is not whole.
        found = await bus.request(subjects.ACCOUNTS_READ_AUDIT_SEGMENT, asked, AuditSegment, timeout_s=ASK_S)
        for message in (*found.anchors, *found.rows):
            yield _line(message)
        if not found.rows:
            break
        after_seq, left = found.rows[-1].seq, left - len(found.rows)
    yield _line(AuditExportEnd(last_seq=after_seq, is_whole=after_seq >= opened.head_seq))


class AuditExportEnd(WireModel):
    """The last line of an export."""

    type: str = "audit_export_end"
    last_seq: int
    is_whole: bool


def _line(message: WireModel) -> bytes:
    return message.model_dump_json().encode() + b"\n"


@router.get("/verify")
async def verify(edge: CurrentEdge, principal: CurrentPrincipal, after_seq: _Seq = 0) -> AuditVerdict:
    """Verify the chain; where `next_after_seq` is told, time was up, and it is to be gone on with there."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + VERIFY_S
    rows = anchors = 0
    while True:
        asked = CheckAudit(**principal.asking, after_seq=after_seq)
        found = await edge.bus.request(subjects.ACCOUNTS_CHECK_AUDIT, asked, AuditVerdict, timeout_s=ASK_S)
        rows, anchors = rows + found.rows, anchors + found.anchors
        if found.next_after_seq is None or loop.time() >= until_s:
            summed: dict[str, Any] = {"rows": rows, "anchors": anchors}
            return found.model_copy(update=summed)
        after_seq = found.next_after_seq
