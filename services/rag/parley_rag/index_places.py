"""Where a vector index can be: in a child process over the data folder, or on a Qdrant server."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from parley_rag.backends.edge import open_edge
from parley_rag.settings import RagSettings
from parley_rag.vectors import VectorIndex

EMBEDDED = "embedded"


def place_of(settings: RagSettings) -> str:
    """Return where the service keeps its index: the URL of a server, or `embedded`."""
    return settings.qdrant_url or EMBEDDED


def embedded_folder(settings: RagSettings) -> Path:
    """Return where the embedded index stands."""
    return settings.data_dir / "vectors" / "rag"


def open_place(place: str, settings: RagSettings) -> AbstractAsyncContextManager[VectorIndex]:
    """Return the vector index of a place."""
    if place == EMBEDDED:
        return open_edge(embedded_folder(settings), settings.rag_dimensions)
    from parley_rag.backends.server import open_server  # noqa: PLC0415  its client takes much memory

    return open_server(place, settings.rag_qdrant_collection, settings.rag_dimensions)
