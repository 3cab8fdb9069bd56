"""Attachments: images and texts that are uploaded to be sent with a question, listed, read and deleted."""

import asyncio
import hashlib
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, File, Header, Query, UploadFile
from parley_contracts import subjects
from parley_contracts.attachments import (
    Attachment,
    AttachmentList,
    DeleteAttachment,
    KeptAttachment,
    ListAttachments,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.replies import Done
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from parley_gateway.documents_api import file_name
from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.file_contents import content_type_of
from parley_gateway.inline_files import InlineFile
from parley_gateway.original_download import download
from parley_gateway.sent_files import SentFiles

router = APIRouter(prefix="/api/attachments", tags=["attachments"])

ASK_S = 5.0


class AttachmentBody(BaseModel):
    """An attachment."""

    attachment: Attachment


class AttachmentPage(BaseModel):
    """Attachments, newest first; `next_cursor` is null on the last page."""

    attachments: tuple[Attachment, ...]
    next_cursor: str | None


class AttachmentFilter(BaseModel):
    """Which page to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=500)
    cursor: str | None = Field(default=None, max_length=1000)


@router.post("", status_code=201)
async def upload_attachment(
    edge: CurrentEdge, principal: CurrentPrincipal, file: Annotated[UploadFile, File()]
) -> AttachmentBody:
    """Upload a file to be sent with a question: a PNG, JPEG, WebP or GIF image, or a text in UTF-8.

    The same file again is the same attachment. One that nothing sends is removed after a day.
    """
    limit, size = edge.settings.gateway_max_attachment_bytes, file.size or 0
    if size > limit:
        raise ParleyError(ErrorCode.TOO_LARGE, f"The file is larger than {limit} bytes.", field="file")
    if not size:
        raise ParleyError(ErrorCode.INVALID_REQUEST, "The file is empty.", field="file")
    name, data = file_name(file.filename), await file.read()
    found = await asyncio.to_thread(_looked_at, name, data)
    kept = await SentFiles(edge.bus, edge.originals).keep(principal.owner_id, found)
    return AttachmentBody(attachment=kept.shown())


def _looked_at(name: str, data: bytes) -> InlineFile:
    return InlineFile(name, content_type_of(data, name), data, hashlib.sha256(data).hexdigest())


@router.get("")
async def list_attachments(
    edge: CurrentEdge, principal: CurrentPrincipal, wanted: Annotated[AttachmentFilter, Query()]
) -> AttachmentPage:
    """List your attachments, newest first."""
    request = ListAttachments(owner_id=principal.owner_id, limit=wanted.limit, cursor=wanted.cursor)
    found = await edge.bus.request(subjects.MEMORY_LIST_ATTACHMENTS, request, AttachmentList, timeout_s=ASK_S)
    shown = tuple(one.shown() for one in found.attachments)
    return AttachmentPage(attachments=shown, next_cursor=found.next_cursor)


@router.get("/{attachment_id}")
async def read_attachment(
    attachment_id: str, edge: CurrentEdge, principal: CurrentPrincipal
) -> AttachmentBody:
    """Return what an attachment is."""
    found = await _find(edge, principal.owner_id, attachment_id)
    return AttachmentBody(attachment=found.shown())


@router.get("/{attachment_id}/content")
async def download_attachment(
    attachment_id: str,
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    wanted: Annotated[str | None, Header(alias="Range", description="One range of bytes.")] = None,
) -> Response:
    """Return an attachment as it was uploaded, or a range of it."""
    found = await _find(edge, principal.owner_id, attachment_id)
    content = await edge.originals.open(principal.owner_id, found.object_id, found.sha256, is_sealed=True)
    return await download(
        content,
        media_type=found.content_type,
        wanted=wanted,
        headers={
            "ETag": f'"{found.sha256}"',
            # Whatever was uploaded is never run as a page of this origin.
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(found.name, safe='')}",
            "Content-Security-Policy": "sandbox",
        },
    )


@router.delete("/{attachment_id}")
async def delete_attachment(attachment_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Remove an attachment for good, also from the questions that it was sent with."""
    request = DeleteAttachment(owner_id=principal.owner_id, attachment_id=_fit(attachment_id))
    return await edge.bus.request(subjects.MEMORY_DELETE_ATTACHMENT, request, Done, timeout_s=ASK_S)


async def _find(edge: Edge, owner_id: str, attachment_id: str) -> KeptAttachment:
    request = ListAttachments(owner_id=owner_id, attachment_id=_fit(attachment_id))
    found = await edge.bus.request(subjects.MEMORY_LIST_ATTACHMENTS, request, AttachmentList, timeout_s=ASK_S)
    return found.attachments[0]


def _fit(attachment_id: str) -> str:
    """Return an id as it is asked for; one that is too long for any is the id of none."""
    return attachment_id[:128]
