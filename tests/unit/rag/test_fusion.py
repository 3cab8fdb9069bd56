import pytest
from parley_contracts.rag import SearchMode
from parley_rag.fusion import rank, reordered
from parley_rag.vectors import Candidate

HYBRID, MEANING, WORDS, RRF = SearchMode.HYBRID, SearchMode.MEANING, SearchMode.WORDS, SearchMode.RRF
CANDIDATES = (
    Candidate("meaning", 0.6, 0.0),
    Candidate("both", 0.6, 10.0),
    Candidate("words", 0.1, 12.0),
)


def test_what_both_ways_found_stands_above_what_one_found() -> None:
    ranked = rank(CANDIDATES, HYBRID, most_by_words=20.0, limit=50)
    assert [id_ for id_, _ in ranked] == ["both", "words", "meaning"]


def test_one_way_ranks_by_its_own_score() -> None:
    assert rank(CANDIDATES, WORDS, most_by_words=20.0, limit=50) == [
        ("words", 0.6),
        ("both", 0.5),
        ("meaning", 0.0),
    ]
    assert rank(CANDIDATES, MEANING, most_by_words=20.0, limit=50) == [
        ("both", 0.6),
        ("meaning", 0.6),
        ("words", 0.1),
    ]


@pytest.mark.parametrize("mode", list(SearchMode))
def test_scores_are_between_0_and_1(mode: SearchMode) -> None:
    candidates = (
        Candidate("most", 1.0, 25.0),
        Candidate("least", -1.0, 0.0),
        Candidate("no vector", None, 3.0),
    )
    for most_by_words in (20.0, 0.0):
        ranked = rank(candidates, mode, most_by_words=most_by_words, limit=50)
        assert {id_ for id_, _ in ranked} == {"most", "least", "no vector"}
        assert all(0.0 <= score <= 1.0 for _, score in ranked)


def test_reciprocal_rank_fusion_adds_one_over_k_and_the_place() -> None:
    places = {id_: score * 2 / 61 for id_, score in rank(CANDIDATES, RRF, most_by_words=1.0, limit=50)}
    assert places == pytest.approx({"both": 1 / 61 + 1 / 62, "meaning": 1 / 62, "words": 1 / 63 + 1 / 61})


def test_reciprocal_rank_fusion_gives_nothing_for_a_place_beyond_those_asked_for() -> None:
    places = dict(rank(CANDIDATES, RRF, most_by_words=1.0, limit=1))
    assert places == {"both": pytest.approx(0.5), "words": pytest.approx(0.5)}


def test_what_is_ranked_anew_stands_before_the_rest_and_scores_keep_falling() -> None:
    ranked = [("a", 0.9), ("b", 0.7), ("c", 0.6), ("d", 0.2)]
    assert reordered(ranked, {"a": -3.0, "c": 5.0}) == [("c", 0.9), ("a", 0.7), ("b", 0.6), ("d", 0.2)]
    assert reordered(ranked, {}) == ranked
