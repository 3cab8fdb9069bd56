"""Exports and erasures of all that is kept of a user: jobs that accounts runs, and what it asks of others."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from parley_contracts.accounts import PasswordText, PrincipalRequest
from parley_contracts.model import OwnedRequest, WireModel

MAX_BOTS_NAMED = 1000

VISITOR = "visitor-"
"""What the owner id of a bot's visitor begins with; the bot's id follows."""

BotIds = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")], ...], Field(max_length=MAX_BOTS_NAMED)
]


def visitors_of(bot_id: str) -> str:
    """Return what the owner ids of all visitors of a bot begin with."""
    return f"{VISITOR}{bot_id}-"


def export_key(job_id: str) -> str:
    """Return where the file of an export is in the object store: no user's uploads are there."""
    return f"exports/{job_id}"


def is_of(owner_id: str, user_id: str, bot_ids: tuple[str, ...]) -> bool:
    """Return whether an owner is a user, or a visitor of one of his bots."""
    return owner_id == user_id or any(owner_id.startswith(visitors_of(bot_id)) for bot_id in bot_ids)


# -- what accounts asks of the services ---------------------------------------------------------------


class PlaceCount(WireModel):
    """How much of a user was found in a place of `data_places`."""

    place: str
    count: int = Field(ge=0)


class ExportUser(OwnedRequest):
    """Request: the next records of all that a service keeps of a user; `cursor` is of the page before."""

    type: Literal["export_user"] = "export_user"
    cursor: str | None = Field(default=None, max_length=1000)
    limit: int = Field(default=500, ge=1, le=2000, description="Records at most; fewer when they are large.")


class ExportedRecord(WireModel):
    """One record; those of one kind follow each other."""

    kind: str = Field(
        pattern=r"^[a-z_]{1,60}$", description="The file that it goes into, without its ending."
    )
    line: str = Field(description="A JSON object in one line.")


class ExportedOriginal(WireModel):
    """A file that the user has uploaded, as it lies in the object store."""

    document_id: str
    key: str
    name: str
    size_bytes: int
    sha256: str
    is_sealed: bool = Field(default=False, description="It is to be opened, and stands under its sealed key.")


class ExportPage(WireModel):
    """A page of records and files; `next_cursor` is None on the last."""

    type: Literal["export_page"] = "export_page"
    records: tuple[ExportedRecord, ...] = ()
    originals: tuple[ExportedOriginal, ...] = ()
    next_cursor: str | None = None


class EraseUser(OwnedRequest):
    """Request: remove the next part of all that a service keeps of a user, and refuse what comes later.

    To ask again changes nothing but that more is gone; `is_done` of the answer says that nothing is left.
    """

    type: Literal["erase_user"] = "erase_user"
    bot_ids: BotIds = Field(default=(), description="His bots, whose visitors' data go with them.")
    cursor: str | None = Field(default=None, max_length=1000, description="Of the part before.")
    limit: int = Field(default=200, ge=1, le=1000, description="Rows, documents or turns in this part.")


class ErasedPart(WireModel):
    """What was removed in this part."""

    type: Literal["erased_part"] = "erased_part"
    removed: tuple[PlaceCount, ...] = ()
    next_cursor: str | None = Field(default=None, description="Where the next part begins, if there is one.")
    is_done: bool = Field(description="Nothing is left; False without a cursor: ask again in a moment.")
    waits_for: str | None = Field(default=None, description="What is not over yet, for people.")


# -- jobs ---------------------------------------------------------------------------------------------


class DataJobKind(StrEnum):
    """What a job is for."""

    EXPORT = "export"
    ERASURE = "erasure"


class DataJobState(StrEnum):
    """How far a job is; `settling` is an erasure that looks a second time for what was on its way."""

    WAITING = "waiting"
    RUNNING = "running"
    SETTLING = "settling"
    DONE = "done"
    FAILED = "failed"


class DataReport(WireModel):
    """What a job has done so far: counts by service and place, and what is kept and why."""

    counts: dict[str, dict[str, int]] = Field(default_factory=dict, description="By service, by place.")
    kept: dict[str, str] = Field(default_factory=dict, description="By place, the reason and for how long.")
    missing: tuple[str, ...] = Field(default=(), description="Documents whose upload cannot be read.")


class DataJob(WireModel):
    """A job as whoever may see it does."""

    type: Literal["data_job"] = "data_job"
    id: str
    kind: DataJobKind
    state: DataJobState
    user_id: str
    asked_by: str
    asked_at_ms: int
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    deadline_at_ms: int
    attempts: int = Field(description="How often a process has taken it up.")
    waits_for: str | None = Field(default=None, description="The service or the work that it waits for.")
    error: str | None = Field(default=None, description="Why it failed, for people.")
    size_bytes: int | None = Field(default=None, description="Of the file of an export.")
    expires_at_ms: int | None = Field(default=None, description="Until when that can be downloaded.")
    report: DataReport = DataReport()


class CreateExport(PrincipalRequest):
    """Request: put all that is kept of a user into one file, for him to download.

    While one is under way it is that one that is answered.
    """

    type: Literal["create_export"] = "create_export"
    user_id: str | None = Field(default=None, description="None is who asks.")


class CreateErasure(PrincipalRequest):
    """Request: remove all that is kept of a user; his account is disabled at once and not to be had again.

    Who asks for himself proves that it is he: by his password, or by a session that was opened just now.
    """

    type: Literal["create_erasure"] = "create_erasure"
    user_id: str | None = Field(default=None, description="None is who asks.")
    password: PasswordText | None = Field(default=None, repr=False)
    session_id: str | None = Field(default=None, description="By which he asks, when it is one.")


class ListDataJobs(PrincipalRequest):
    """Request: jobs about a user, the newest first; `kind` narrows them."""

    type: Literal["list_data_jobs"] = "list_data_jobs"
    user_id: str | None = Field(default=None, description="None is who asks.")
    kind: DataJobKind | None = None
    limit: int = Field(default=50, ge=1, le=200)


class DataJobList(WireModel):
    """Jobs, the newest first."""

    type: Literal["data_job_list"] = "data_job_list"
    jobs: tuple[DataJob, ...]


class ReadExport(PrincipalRequest):
    """Request: where the file of one's own export is; `not_found` for everybody else, and when it is gone."""

    type: Literal["read_export"] = "read_export"
    job_id: str = Field(max_length=64)


class ExportFile(WireModel):
    """An export that can be downloaded, and where it lies in the object store."""

    type: Literal["export_file"] = "export_file"
    key: str
    size_bytes: int
    name: str
    expires_at_ms: int
