import numpy as np
import pytest
from parley_rag.relevance_feedback import feedback_scores


def vector(*numbers: float) -> bytes:
    floats = np.array(numbers, "<f4")
    return (floats / np.linalg.norm(floats)).astype("<f4").tobytes()


EAST, NORTH, WEST = vector(1, 0), vector(0, 1), vector(-1, 0)


def test_what_is_like_the_best_passes_what_is_not() -> None:
    first = [("best", 0.8), ("unlike", 0.60), ("like", 0.55)]
    scores = feedback_scores(first, {"best": EAST, "unlike": NORTH, "like": EAST})
    assert scores["best"] > scores["like"] > scores["unlike"]


def test_a_score_is_mostly_the_one_that_was_there() -> None:
    scores = feedback_scores([("best", 0.8), ("like", 0.5)], {"best": EAST, "like": EAST})
    assert scores == pytest.approx({"best": 0.7 * 0.8 + 0.3, "like": 0.7 * 0.5 + 0.3})


def test_only_passages_nearly_as_good_as_the_best_say_what_is_sought() -> None:
    vectors = {"best": EAST, "other": WEST, "like": EAST}
    near = feedback_scores([("best", 0.8), ("other", 0.75), ("like", 0.3)], vectors)
    far = feedback_scores([("best", 0.8), ("other", 0.65), ("like", 0.3)], vectors)
    assert near["like"] == pytest.approx(0.7 * 0.3)  # two that point in opposite directions
    assert far["like"] == pytest.approx(0.7 * 0.3 + 0.3)


def test_no_more_than_five_passages_say_what_is_sought() -> None:
    first = [*((f"{n}", 0.8) for n in range(5)), ("sixth", 0.79)]
    vectors = {**{f"{n}": EAST for n in range(5)}, "sixth": WEST}
    assert feedback_scores(first, vectors)["0"] == pytest.approx(0.7 * 0.8 + 0.3)


def test_passages_that_were_removed_meanwhile_are_left_out() -> None:
    scores = feedback_scores([("gone", 0.9), ("there", 0.5)], {"there": EAST})
    assert list(scores) == ["there"]
    assert feedback_scores([("gone", 0.9)], {}) == {}
