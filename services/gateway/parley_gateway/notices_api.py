"""Notices: listed, marked as read, watched live, and in which ways one is told."""

from typing import Annotated

from fastapi import APIRouter, Query
from parley_contracts import subjects
from parley_contracts.notices import (
    MAX_PAGE,
    ChangeNoticeSettings,
    ListNotices,
    MarkNoticesRead,
    NoticeChoice,
    NoticeId,
    NoticeKind,
    NoticeList,
    NoticeSettings,
    NoticesRead,
    ReadNoticeSettings,
)
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from parley_gateway.edge import CurrentEdge, CurrentPrincipal
from parley_gateway.notice_events import LONGEST_S, NoticeEvents, NoticeStream

router = APIRouter(prefix="/api/notices", tags=["notices"])

ASK_S = 5.0


class ReadMark(BaseModel):
    """Which notices have been read."""

    model_config = ConfigDict(extra="forbid")

    ids: list[NoticeId] | None = Field(default=None, max_length=MAX_PAGE, description="Absent is all.")


class OwnChoice(BaseModel):
    """In which ways you want to be told of one kind; what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    kind: NoticeKind
    in_app: bool | None = None
    mail: bool | None = None
    webhook: bool | None = None


class OwnChoices(BaseModel):
    """In which ways you want to be told."""

    model_config = ConfigDict(extra="forbid")

    choices: list[OwnChoice] = Field(min_length=1, max_length=len(NoticeKind))


@router.get("")
async def list_notices(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    unread_only: bool = False,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> NoticeList:
    """List your notices: the unread first, in each part the latest first."""
    asked = ListNotices(**principal.asking, unread_only=unread_only, limit=limit, cursor=cursor)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_NOTICES, asked, NoticeList, timeout_s=ASK_S)


@router.post("/read")
async def mark_read(body: ReadMark, edge: CurrentEdge, principal: CurrentPrincipal) -> NoticesRead:
    """Mark notices as read."""
    ids = None if body.ids is None else tuple(body.ids)
    asked = MarkNoticesRead(**principal.asking, ids=ids)
    return await edge.bus.request(subjects.ACCOUNTS_MARK_NOTICES_READ, asked, NoticesRead, timeout_s=ASK_S)


@router.get(
    "/events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def watch_notices(
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    for_s: Annotated[float, Query(ge=0, le=LONGEST_S)] = LONGEST_S,
) -> Response:
    """Stream the latest notices and how many are unread, now and whenever that changes."""
    events = NoticeEvents(edge.bus, principal, for_s=for_s)
    await events.open()
    return NoticeStream(edge.sockets, events)


@router.get("/settings")
async def read_settings(edge: CurrentEdge, principal: CurrentPrincipal) -> NoticeSettings:
    """Return in which ways you are told of what."""
    asked = ReadNoticeSettings(**principal.asking)
    return await edge.bus.request(
        subjects.ACCOUNTS_READ_NOTICE_SETTINGS, asked, NoticeSettings, timeout_s=ASK_S
    )


@router.patch("/settings")
async def change_settings(body: OwnChoices, edge: CurrentEdge, principal: CurrentPrincipal) -> NoticeSettings:
    """Be told in other ways."""
    choices = tuple(NoticeChoice(**choice.model_dump()) for choice in body.choices)
    asked = ChangeNoticeSettings(**principal.asking, choices=choices)
    return await edge.bus.request(
        subjects.ACCOUNTS_CHANGE_NOTICE_SETTINGS, asked, NoticeSettings, timeout_s=ASK_S
    )
