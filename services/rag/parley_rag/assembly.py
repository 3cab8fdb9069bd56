"""Puts the domain together over a database, an index and a bus."""

from dataclasses import dataclass

from parley_messaging import Bus

from parley_rag.database import Database
from parley_rag.document_collections import Collections
from parley_rag.documents import Documents
from parley_rag.embedding import Embedder
from parley_rag.handlers import RagHandlers
from parley_rag.ingestion import Ingestion
from parley_rag.measures import Measures
from parley_rag.passages import Passages
from parley_rag.reading import ReadLimits
from parley_rag.removals import Removals
from parley_rag.searching import Searching
from parley_rag.settings import RagSettings
from parley_rag.vector_space import VectorSpaces
from parley_rag.vectors import VectorIndex


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of."""

    handlers: RagHandlers
    searching: Searching
    ingestion: Ingestion
    removals: Removals


def assemble(
    database: Database, index: VectorIndex, bus: Bus, settings: RagSettings, measures: Measures
) -> Parts:
    """Return the parts, wired to each other."""
    documents = Documents(database, language=settings.rag_language)
    passages = Passages(database)
    removals = Removals(database, index, bus.objects)
    spaces = VectorSpaces(database, settings.rag_dimensions)
    embedder = Embedder(bus)
    ingestion = Ingestion(
        documents=documents,
        passages=passages,
        removals=removals,
        spaces=spaces,
        index=index,
        embedder=embedder,
        originals=bus.objects,
        limits=ReadLimits(
            timeout_s=settings.rag_read_timeout_s,
            memory_bytes=settings.rag_read_memory_bytes,
            passage_chars=settings.rag_passage_chars,
        ),
        measures=measures,
    )
    searching = Searching(
        database=database,
        passages=passages,
        index=index,
        embedder=embedder,
        embed_budget_s=settings.rag_embed_budget_s,
        measures=measures,
    )
    handlers = RagHandlers(
        documents, Collections(database, language=settings.rag_language), passages, removals
    )
    return Parts(handlers, searching, ingestion, removals)
