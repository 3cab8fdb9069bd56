"""Your data: have all of it exported and download it, or have all of it erased."""

import tempfile
from collections.abc import AsyncGenerator
from typing import BinaryIO, cast

from anyio import to_thread
from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.data_rights import (
    CreateErasure,
    CreateExport,
    DataJob,
    DataJobKind,
    DataJobList,
    ExportFile,
    ListDataJobs,
    ReadExport,
)
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api/account", tags=["account"])

ASK_S = 5.0
PASSWORD_S = 15.0
"""A password is verified, perhaps behind others."""
_PIECE_BYTES = 256 * 1024
_IN_MEMORY_BYTES = 1024**2


class Proof(BaseModel):
    """That it is you who asks."""

    model_config = ConfigDict(extra="forbid")

    password: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Yours; left out, you must have logged in within the last ten minutes.",
    )


@router.get("/data-jobs")
async def list_data_jobs(edge: CurrentEdge, principal: CurrentPrincipal) -> DataJobList:
    """List your exports and erasures, the newest first."""
    asked = ListDataJobs(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_DATA_JOBS, asked, DataJobList, timeout_s=ASK_S)


@router.get("/exports")
async def list_exports(edge: CurrentEdge, principal: CurrentPrincipal) -> DataJobList:
    """List your exports, the newest first."""
    asked = ListDataJobs(**principal.asking, kind=DataJobKind.EXPORT)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_DATA_JOBS, asked, DataJobList, timeout_s=ASK_S)


@router.post("/exports", status_code=202)
async def create_export(edge: CurrentEdge, principal: CurrentPrincipal) -> DataJob:
    """Have all that is kept of you put into one file; while that is under way, it is told again."""
    asked = CreateExport(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_EXPORT, asked, DataJob, timeout_s=ASK_S)


@router.get("/exports/{export_id}/file")
async def download_export(export_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Response:
    """Download an export of yours, a ZIP, until it expires."""
    asked = ReadExport(**principal.asking, job_id=export_id)
    found = await edge.bus.request(subjects.ACCOUNTS_READ_EXPORT, asked, ExportFile, timeout_s=ASK_S)
    spool = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - closed when it is sent
    file = cast("BinaryIO", spool)
    try:
        await edge.bus.objects.fetch(found.key, file)
        size_bytes = await to_thread.run_sync(file.tell)
        await to_thread.run_sync(file.seek, 0)
    except BaseException:
        file.close()
        raise
    return StreamingResponse(
        _pieces(file),
        media_type="application/zip",
        headers={
            "Content-Length": str(size_bytes),
            "Content-Disposition": f'attachment; filename="{found.name}"',
            "Content-Security-Policy": "sandbox",
            "Cache-Control": "no-store",
        },
    )


async def _pieces(file: BinaryIO) -> AsyncGenerator[bytes]:
    with file:
        while piece := await to_thread.run_sync(file.read, _PIECE_BYTES):
            yield piece


@router.post("/erasure", status_code=202)
async def erase(body: Proof, edge: CurrentEdge, principal: CurrentPrincipal) -> DataJob:
    """Have yourself and all that is kept of you removed, for good. You are logged out at once."""
    asked = CreateErasure(**principal.asking, password=body.password, session_id=principal.session_id)
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_ERASURE, asked, DataJob, timeout_s=PASSWORD_S)
