"""Data of users, for those who look after them: exports that only the user downloads, and erasures."""

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.accounts import ReadUser, User
from parley_contracts.data_rights import CreateErasure, CreateExport, DataJob, DataJobList, ListDataJobs
from parley_contracts.errors import ErrorCode, ParleyError
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal, Edge
from parley_gateway.principal import Principal

router = APIRouter(prefix="/api/admin/users/{user_id}", tags=["admin"])

ASK_S = 5.0


class Confirmation(BaseModel):
    """That this very user is meant: it cannot be undone."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64, description="The name that the user logs in by.")


@router.get("/data-jobs")
async def list_data_jobs(user_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> DataJobList:
    """List a user's exports and erasures, the newest first, also of one who is gone."""
    asked = ListDataJobs(**principal.asking, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_DATA_JOBS, asked, DataJobList, timeout_s=ASK_S)


@router.post("/export", status_code=202)
async def create_export(user_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> DataJob:
    """Have all that is kept of a user of a lower role put into a file, which he alone can download."""
    asked = CreateExport(**principal.asking, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_EXPORT, asked, DataJob, timeout_s=ASK_S)


@router.post("/erasure", status_code=202)
async def erase(user_id: str, body: Confirmation, edge: CurrentEdge, principal: CurrentPrincipal) -> DataJob:
    """Have a user of a lower role and all that is kept of him removed, for good.

    Of one who is gone already this repeats an erasure that has failed; no name of his is left to compare.
    """
    name = await _name_of(edge, principal, user_id)
    if name is not None and name != body.name:
        message = "name: it is not the name of this user."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="name")
    asked = CreateErasure(**principal.asking, user_id=user_id)
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_ERASURE, asked, DataJob, timeout_s=ASK_S)


async def _name_of(edge: Edge, principal: Principal, user_id: str) -> str | None:
    asked = ReadUser(**principal.asking, user_id=user_id)
    try:
        return (await edge.bus.request(subjects.ACCOUNTS_READ_USER, asked, User, timeout_s=ASK_S)).name
    except ParleyError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        return None
