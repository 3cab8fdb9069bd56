import math

import pytest
from parley_rag.words import by_rarity, most_by_words, weights_of


def test_words_that_no_passage_contains_count_in_the_most_that_is_possible() -> None:
    asked, containing = {1: 1.0, 2: 1.0}, {1: 3}
    known, unknown = math.log(1 + 7.5 / 3.5), math.log(1 + 10.5 / 0.5)
    assert by_rarity(asked, containing, 10) == ([1], [pytest.approx(known)])
    assert most_by_words(asked, containing, 10) == pytest.approx(2.2 * (known + unknown))


def test_no_passage_exceeds_the_most_that_is_possible() -> None:
    words = weights_of("english")
    asked = words.of_query("pump")
    containing = dict.fromkeys(asked, 4)
    (term,), (rarity,) = by_rarity(asked, containing, 100)
    scores = [
        dict(zip(*words.of_passage("pump " * count), strict=True))[term] * rarity for count in (1, 5, 5000)
    ]
    assert 0 < scores[0] < scores[1]
    assert max(scores) < most_by_words(asked, containing, 100)
