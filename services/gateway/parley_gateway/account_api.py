"""Your data: have all of it exported and download it, or have all of it erased."""

from typing import Annotated

from fastapi import APIRouter, Header
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
from starlette.responses import Response

from parley_gateway.edge import CurrentEdge, CurrentPrincipal
from parley_gateway.original_download import download

router = APIRouter(prefix="/api/account", tags=["account"])

ASK_S = 5.0
PASSWORD_S = 15.0
"""A password is verified, perhaps behind others."""


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
    """Have all that is kept of you put into one file; while that is under way, it is told again.

    An API key with scopes may not: the file holds more than any scope says.
    """
    asked = CreateExport(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_EXPORT, asked, DataJob, timeout_s=ASK_S)


@router.get("/exports/{export_id}/file")
async def download_export(
    export_id: str,
    edge: CurrentEdge,
    principal: CurrentPrincipal,
    wanted: Annotated[str | None, Header(alias="Range", description="One range of bytes.")] = None,
) -> Response:
    """Download an export of yours, a ZIP or a range of it, until it expires; not by a key with scopes."""
    asked = ReadExport(**principal.asking, job_id=export_id)
    found = await edge.bus.request(subjects.ACCOUNTS_READ_EXPORT, asked, ExportFile, timeout_s=ASK_S)
    return await download(
        await edge.exports.open(principal.owner_id, export_id),
        media_type="application/zip",
        wanted=wanted,
        headers={
            "Content-Disposition": f'attachment; filename="{found.name}"',
            "Content-Security-Policy": "sandbox",
            "Cache-Control": "no-store",
        },
    )


@router.post("/erasure", status_code=202)
async def erase(body: Proof, edge: CurrentEdge, principal: CurrentPrincipal) -> DataJob:
    """Have yourself and all that is kept of you removed, for good. You are logged out at once."""
    asked = CreateErasure(**principal.asking, password=body.password, session_id=principal.session_id)
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_ERASURE, asked, DataJob, timeout_s=PASSWORD_S)
