"""The rag service: documents in, passages out."""

from contextlib import AbstractAsyncContextManager

from parley_messaging import Service, run_service

from parley_rag.assembly import assemble
from parley_rag.backends.edge import open_edge
from parley_rag.database import open_database
from parley_rag.handlers import bind
from parley_rag.measures import Measures
from parley_rag.settings import RagSettings
from parley_rag.vectors import VectorIndex


def open_index(settings: RagSettings) -> AbstractAsyncContextManager[VectorIndex]:
    """Return the vector index: on the Qdrant server that is named, else in a child process."""
    if settings.qdrant_url is None:
        return open_edge(settings.data_dir / "vectors" / "rag", settings.rag_dimensions)
    from parley_rag.backends.server import open_server  # noqa: PLC0415  its client takes 50 MB

    return open_server(settings.qdrant_url, settings.rag_qdrant_collection, settings.rag_dimensions)


async def compose(service: Service, settings: RagSettings) -> None:
    """Open what is needed, answer requests and take jobs."""
    database = await service.enter(open_database(settings.database_url, settings.data_dir))
    index = await service.enter(open_index(settings))
    service.check("database", database.check)
    service.check("vectors", index.check)
    parts = assemble(database, index, service.bus, settings, Measures(service.metrics))
    await parts.removals.finish()
    bind(service, parts.handlers, parts.searching, parts.ingestion, slots=settings.rag_ingest_slots)


def main() -> None:
    """Run until told to stop."""
    run_service("rag", RagSettings, compose)


if __name__ == "__main__":
    main()
