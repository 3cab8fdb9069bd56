"""What the service counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SEARCH_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Measures:
    """The service's metrics, on its own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ingested = Counter(
            "parley_rag_ingested_documents", "Ingestion jobs by outcome.", ["outcome"], registry=registry
        )
        self.passages = Counter(
            "parley_rag_indexed_passages", "Passages embedded and indexed.", registry=registry
        )
        self.searches = Counter(
            "parley_rag_searches", "Searches by how they were made.", ["mode"], registry=registry
        )
        self.search_s = Histogram(
            "parley_rag_search_seconds", "Time of a search.", buckets=_SEARCH_BUCKETS_S, registry=registry
        )
