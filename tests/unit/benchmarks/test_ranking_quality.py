"""The figures of retrieval are computed as they are defined, and the collections read as they are written."""

from pathlib import Path

import pytest

from benchmarks.cranfield_data import read_cranfield
from benchmarks.ranking_quality import difference, ndcg, recall, reciprocal_rank

DOCUMENTS = """.I 1
.T
flow past a
plate .
.A
ting-yili
.W
flow past a plate
is described .
.I 2
.T
.W
.I 3
.T
heat in slabs .
.W
heat in slabs .
"""
QUERIES = """.I 001
.W
what is known of
plates .
.I 004
.W
what of slabs .
"""
JUDGEMENTS = "1 1 2 \n2 3 -1\n2 2 5\n2 1 4\n"


def test_ndcg_discounts_by_place_and_is_one_at_best() -> None:
    assert ndcg([1, 2, 3], {1, 2}, 10) == 1.0
    assert ndcg([3, 1, 4, 2], {1, 2}, 10) == pytest.approx((0.6309298 + 0.4306766) / 1.6309298)
    assert ndcg([3, 4, 1], {1}, 2) == 0.0
    assert ndcg([9], set(range(50)), 10) == pytest.approx(1 / 4.5435596)


def test_recall_is_of_all_that_is_relevant() -> None:
    assert recall([1, 5, 2], {1, 2, 3, 4}, 2) == 0.25


def test_a_reciprocal_rank_beyond_the_depth_is_nothing() -> None:
    assert reciprocal_rank([7, 8, 9], 9, 10) == pytest.approx(1 / 3)
    assert reciprocal_rank([7, 8, 9], 9, 2) == 0.0
    assert reciprocal_rank([7, 8, 9], 1, 10) == 0.0


def test_a_difference_lies_within_its_resamples() -> None:
    mean, low, high = difference([0.5, 0.7, 0.9, 0.4], [0.4, 0.7, 0.6, 0.5])
    assert mean == pytest.approx(0.075)
    assert low < mean < high
    assert difference([0.5, 0.5], [0.4, 0.4]) == pytest.approx((0.1, 0.1, 0.1))


def test_judgements_count_queries_by_position_and_low_grades_are_not_relevant(tmp_path: Path) -> None:
    for name, text in {"cran.all.1400": DOCUMENTS, "cran.qry": QUERIES, "cranqrel": JUDGEMENTS}.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    read = read_cranfield(tmp_path)
    assert read.documents == {
        1: "# flow past a plate .\n\nflow past a plate\nis described .\n",
        3: "# heat in slabs .\n\nheat in slabs .\n",
    }
    assert read.queries == {1: "what is known of plates .", 2: "what of slabs ."}
    assert read.relevant == {1: {1}, 2: {1}}
