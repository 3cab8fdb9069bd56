"""Moves up what is like the best passages (pseudo-relevance feedback, after Rocchio 1971)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from parley_contracts.rag import Language

from parley_rag.fusion import Ranked

LANGUAGES = frozenset({Language.ENGLISH.value})
"""What the embedding model knows; of other texts its vectors do not tell well enough which are alike."""

PASSAGES = 50
"""How many of the first passages are ranked anew."""

_BEST = 5
_LEAST_SHARE = 0.9  # of the best score: where one passage stands out, only that one counts
_WEIGHT = 0.3


def feedback_scores(first: Ranked, vectors: Mapping[str, bytes]) -> dict[str, float]:
    """Return scores of the first passages by how near they are to the mean of the best, and by their own."""
    known = [(id_, score, _floats(vectors[id_])) for id_, score in first if id_ in vectors]
    if not known:
        return {}
    least = _LEAST_SHARE * known[0][1]
    centre = np.mean([vector for _, score, vector in known[:_BEST] if score >= least], axis=0)
    return {id_: (1 - _WEIGHT) * score + _WEIGHT * float(vector @ centre) for id_, score, vector in known}


def _floats(vector: bytes) -> NDArray[np.float32]:
    return np.frombuffer(vector, dtype="<f4")
