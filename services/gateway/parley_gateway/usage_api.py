"""What was spent: by oneself, and by everybody for those who look after users."""

from typing import Annotated

from fastapi import APIRouter, Query
from parley_contracts import subjects
from parley_contracts.usage import DAY, MOST_ROWS, ReadUsage, UsageReport
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api", tags=["usage"])

ASK_S = 5.0


class OwnUsage(BaseModel):
    """Which rows are wanted."""

    model_config = ConfigDict(extra="forbid")

    from_day: str | None = Field(default=None, pattern=DAY, description="The first day, as 2026-11-21 (UTC).")
    to_day: str | None = Field(default=None, pattern=DAY, description="The last day.")
    bot_id: str | None = Field(default=None, max_length=64)
    model: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=200, ge=1, le=MOST_ROWS)
    offset: int = Field(default=0, ge=0, le=2**31 - 1)


class AllUsage(OwnUsage):
    """The same, of one user or of all."""

    user_id: str | None = Field(default=None, max_length=200)


@router.get("/usage")
async def read_own(
    wanted: Annotated[OwnUsage, Query()], edge: CurrentEdge, principal: CurrentPrincipal
) -> UsageReport:
    """Return what you and your bots have spent, by day and model, the latest day first."""
    asked = ReadUsage(**principal.asking, **wanted.model_dump())
    return await edge.bus.request(subjects.ACCOUNTS_READ_USAGE, asked, UsageReport, timeout_s=ASK_S)


@router.get("/admin/usage")
async def read_all(
    wanted: Annotated[AllUsage, Query()], edge: CurrentEdge, principal: CurrentPrincipal
) -> UsageReport:
    """Return what everybody has spent, by day, user, bot and model, the latest day first."""
    asked = ReadUsage(**principal.asking, of_all=True, **wanted.model_dump())
    return await edge.bus.request(subjects.ACCOUNTS_READ_USAGE, asked, UsageReport, timeout_s=ASK_S)
