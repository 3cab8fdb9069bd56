"""Texts as BM25 term weights; every index is given the same ones, so all of them rank alike."""

from qdrant_edge import Bm25, Bm25Config

AVERAGE_TERMS = 90.0  # of a passage after stop words are left out; BM25 normalises lengths by it

Terms = tuple[list[int], list[float]]


class WordWeights:
    """Cuts text into stemmed terms and weighs them; the index multiplies by how rare each term is."""

    def __init__(self, language: str) -> None:
        self._model = Bm25(Bm25Config(k=1.2, b=0.75, avg_len=AVERAGE_TERMS, language=language))

    def of_passage(self, text: str) -> Terms:
        """Return term ids and weights of a stored text."""
        terms = self._model.embed_document(text)
        return list(terms.indices), list(terms.values)

    def of_query(self, text: str) -> Terms:
        """Return term ids and weights of a query."""
        terms = self._model.embed_query(text)
        return list(terms.indices), list(terms.values)
