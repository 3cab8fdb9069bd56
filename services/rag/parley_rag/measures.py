"""What the service counts."""

from collections.abc import Sequence

from parley_contracts.citations import Passage
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SEARCH_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SCORE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_RESULTS_BUCKETS = (0, 1, 2, 4, 8, 16, 32, 64, 100)


class Measures:
    """The service's metrics, on its own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ingested = Counter(
            "parley_rag_ingested_documents", "Ingestion jobs by outcome.", ["outcome"], registry=registry
        )
        self.passages = Counter(
            "parley_rag_indexed_passages", "Passages embedded and indexed.", registry=registry
        )
        self.unreadable_originals = Gauge(
            "parley_rag_unreadable_originals",
            "Originals that are not sealed because they are not there or damaged, since the start.",
            registry=registry,
        )
        self.searches = Counter(
            "parley_rag_searches", "Searches by how they were made.", ["mode"], registry=registry
        )
        self.feedback = Counter(
            "parley_rag_feedback", "Verdicts on citations.", ["verdict"], registry=registry
        )
        self.search_s = Histogram(
            "parley_rag_search_seconds", "Time of a search.", buckets=_SEARCH_BUCKETS_S, registry=registry
        )
        self.best_score = Histogram(
            "parley_rag_search_best_score",
            "Score of the best passage of a search that found any.",
            ["mode"],
            buckets=_SCORE_BUCKETS,
            registry=registry,
        )
        self.search_results = Histogram(
            "parley_rag_search_results",
            "Passages that a search found.",
            ["mode"],
            buckets=_RESULTS_BUCKETS,
            registry=registry,
        )

    def note_search(self, mode: str, results: Sequence[Passage], took_s: float) -> None:
        """Count a search by how it was made, which is by words when the query's vector was not had."""
        self.searches.labels(mode).inc()
        self.search_s.observe(took_s)
        self.search_results.labels(mode).observe(len(results))
        if results:
            self.best_score.labels(mode).observe(results[0].score)
