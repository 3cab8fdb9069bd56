"""What is asked about all of a user's documents at once, answered: exports and erasures."""

from dataclasses import dataclass

from parley_contracts import subjects
from parley_contracts.data_rights import EraseUser, ExportUser
from parley_messaging import Service

from parley_rag.erasure import Erasure
from parley_rag.export import Export


@dataclass(frozen=True, slots=True)
class DataRights:
    """What answers."""

    export: Export
    erasure: Erasure


def bind_data_rights(service: Service, rights: DataRights) -> None:
    """Answer the subjects of exports and erasures, few at once: each part holds up others who write."""
    service.answer(subjects.RAG_EXPORT_USER, ExportUser, rights.export.export, concurrency=2)
    service.answer(subjects.RAG_ERASE_USER, EraseUser, rights.erasure.erase, concurrency=2)
