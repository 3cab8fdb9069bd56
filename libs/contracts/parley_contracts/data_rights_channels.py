"""The channels about exports and erasures, a part of the catalogue."""

from functools import partial

from parley_contracts import data_rights, subjects
from parley_contracts.channel import request_channel

_request = partial(request_channel, "accounts")

DATA_RIGHTS_CHANNELS = (
    _request(
        subjects.ACCOUNTS_CREATE_EXPORT,
        data_rights.CreateExport,
        data_rights.DataJob,
        "Put all that is kept of a user into a file.",
    ),
    _request(
        subjects.ACCOUNTS_READ_EXPORT,
        data_rights.ReadExport,
        data_rights.ExportFile,
        "Where the file of one's own export is.",
    ),
    _request(
        subjects.ACCOUNTS_CREATE_ERASURE,
        data_rights.CreateErasure,
        data_rights.DataJob,
        "Remove all that is kept of a user.",
    ),
    _request(
        subjects.ACCOUNTS_LIST_DATA_JOBS,
        data_rights.ListDataJobs,
        data_rights.DataJobList,
        "Exports and erasures of a user.",
    ),
    request_channel(
        "memory",
        subjects.MEMORY_EXPORT_USER,
        data_rights.ExportUser,
        data_rights.ExportPage,
        "A page of a user's conversations.",
        sender="accounts",
    ),
    request_channel(
        "memory",
        subjects.MEMORY_ERASE_USER,
        data_rights.EraseUser,
        data_rights.ErasedPart,
        "Remove a part of a user's conversations.",
        sender="accounts",
    ),
    request_channel(
        "rag",
        subjects.RAG_EXPORT_USER,
        data_rights.ExportUser,
        data_rights.ExportPage,
        "A page of a user's documents and verdicts.",
        sender="accounts",
    ),
    request_channel(
        "rag",
        subjects.RAG_ERASE_USER,
        data_rights.EraseUser,
        data_rights.ErasedPart,
        "Remove a part of a user's documents.",
        sender="accounts",
    ),
    request_channel(
        "gateway",
        subjects.TURN_ERASE_USER,
        data_rights.EraseUser,
        data_rights.ErasedPart,
        "Stop a user's turns, and overwrite what streams keep of them.",
        sender="accounts",
    ),
    request_channel(
        "llm",
        subjects.LLM_ERASE_USER,
        data_rights.EraseUser,
        data_rights.ErasedPart,
        "Remove answers that are remembered for a user.",
        sender="accounts",
    ),
)
