"""Puts the domain together over a database, an index and a bus."""

from dataclasses import dataclass

from parley_envelope import DataKeys, Originals
from parley_messaging import Bus
from parley_messaging.data_key_asking import asking_for_data_keys

from parley_rag.archives import Archives
from parley_rag.data_rights import DataRights
from parley_rag.database import Database
from parley_rag.document_collections import Collections
from parley_rag.documents import Documents
from parley_rag.embedding import Embedder
from parley_rag.erasure import Erasure
from parley_rag.export import Export
from parley_rag.feedback import Feedback
from parley_rag.handlers import RagHandlers
from parley_rag.indexing import Indexing
from parley_rag.ingestion import Ingestion
from parley_rag.jobs import Jobs
from parley_rag.load.limits import ReadLimits
from parley_rag.measures import Measures
from parley_rag.passages import Passages
from parley_rag.progress import Progress
from parley_rag.quality import QualityHandlers
from parley_rag.reading_processes import SPAWNED, ReadingProcesses
from parley_rag.recognition import Recognition
from parley_rag.removals import Removals
from parley_rag.reranking import NpuReranker
from parley_rag.sealing import Sealing
from parley_rag.search_days import SearchDays
from parley_rag.searching import Searching
from parley_rag.settings import RagSettings
from parley_rag.tools import RagTools
from parley_rag.vector_space import VectorSpaces
from parley_rag.vectors import VectorIndex


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of."""

    handlers: RagHandlers
    searching: Searching
    ingestion: Ingestion
    removals: Removals
    jobs: Jobs
    quality: QualityHandlers
    days: SearchDays
    sealing: Sealing
    rights: DataRights
    tools: RagTools


def assemble(
    database: Database,
    index: VectorIndex,
    bus: Bus,
    settings: RagSettings,
    measures: Measures,
    *,
    processes: ReadingProcesses = SPAWNED,
) -> Parts:
    """Return the parts, wired to each other."""
    kept = _kept(database, index, bus, settings)
    reading = _Reading(_limits(settings), processes)
    embedder, days = Embedder(bus), SearchDays(database)
    archives = _archives(database, kept, reading)
    ingestion = Ingestion(
        documents=kept.documents,
        passages=kept.passages,
        archives=archives,
        recognition=Recognition(database, kept.documents, bus, reading.limits, reading.processes),
        indexing=Indexing(
            documents=kept.documents,
            passages=kept.passages,
            spaces=VectorSpaces(database, settings.rag_dimensions),
            index=index,
            embedder=embedder,
            progress=kept.progress,
            measures=measures,
        ),
        jobs=kept.jobs,
        progress=kept.progress,
        removals=kept.removals,
        index=index,
        originals=kept.originals,
        measures=measures,
    )
    searching = Searching(
        database=database,
        passages=kept.passages,
        index=index,
        embedder=embedder,
        embed_budget_s=settings.rag_embed_budget_s,
        reranker=_reranker(bus, settings),
        measures=measures,
        days=days,
    )
    handlers = RagHandlers(
        documents=kept.documents,
        collections=Collections(database, language=settings.rag_language),
        passages=kept.passages,
        removals=kept.removals,
        archives=archives,
        jobs=kept.jobs,
        progress=kept.progress,
        originals=kept.originals,
    )
    quality = QualityHandlers(database, Feedback(database), days, measures)
    sealing = Sealing(database, kept.originals, measures)
    rights = DataRights(Export(database), Erasure(database, kept.removals))
    tools, jobs, removals = _tools(searching, kept, reading), kept.jobs, kept.removals
    return Parts(handlers, searching, ingestion, removals, jobs, quality, days, sealing, rights, tools)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What reads and writes the tables."""

    documents: Documents
    passages: Passages
    removals: Removals
    progress: Progress
    jobs: Jobs
    originals: Originals


@dataclass(frozen=True, slots=True)
class _Reading:
    """How files are read."""

    limits: ReadLimits
    processes: ReadingProcesses


def _kept(database: Database, index: VectorIndex, bus: Bus, settings: RagSettings) -> _Kept:
    documents = Documents(database, language=settings.rag_language)
    originals = Originals(bus.objects, DataKeys(asking_for_data_keys(bus)))
    return _Kept(
        documents,
        Passages(database),
        Removals(database, index, originals),
        Progress(documents, bus),
        Jobs(database, bus),
        originals,
    )


def _archives(database: Database, kept: _Kept, reading: _Reading) -> Archives:
    return Archives(
        database=database,
        documents=kept.documents,
        jobs=kept.jobs,
        progress=kept.progress,
        originals=kept.originals,
        limits=reading.limits,
        processes=reading.processes,
    )


def _tools(searching: Searching, kept: _Kept, reading: _Reading) -> RagTools:
    return RagTools(
        searching,
        kept.documents,
        kept.passages,
        kept.originals,
        limits=reading.limits,
        processes=reading.processes,
    )


def _limits(settings: RagSettings) -> ReadLimits:
    return ReadLimits(
        timeout_s=settings.rag_read_timeout_s,
        memory_bytes=settings.rag_read_memory_bytes,
        passage_chars=settings.rag_passage_chars,
    )


def _reranker(bus: Bus, settings: RagSettings) -> NpuReranker | None:
    if not settings.rag_rerank:
        return None
    return NpuReranker(bus, passages=settings.rag_rerank_passages, budget_s=settings.rag_rerank_budget_s)
