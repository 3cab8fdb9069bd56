"""Questions about real PDFs are made by a rule that can be trusted with the truth."""

from benchmarks.citation_pairs import (
    STOP_WORDS,
    SYNONYMS,
    Pair,
    make_pairs,
    missing_words,
    plain,
    question_of,
    sentences_of,
    shared_share,
)

FIRST = "The calling program provides all the input data and then checks the returned error number."
SECOND = "Maintainers describe every change of their packages in a document that users read at leisure."
PAGE = f"3.1 A heading\nIts paragraph begins here. {FIRST}\nShort one. {SECOND}\n\n3.2 Another\nEnds here."


def test_sentences_come_whole_and_never_with_a_heading() -> None:
    broken = PAGE.replace("returned error", "re-\nturned\nerror").replace("describe", "de\ufb01ne")
    assert sentences_of(broken) == [FIRST, SECOND.replace("describe", "define")]


def test_lists_code_and_references_make_no_sentences() -> None:
    odd = [
        "The calling program \u2022 provides all the input data and checks the returned error number.",
        "The calling program provides the input data at some_function and checks the returned number.",
        "The calling program provides all the input data ......... and checks the returned error number.",
        "The calling program provides the data.",
    ]
    assert sentences_of("Begin. " + " ".join(odd)) == []


def test_a_question_has_the_sense_in_other_words_and_another_order() -> None:
    question = question_of(FIRST)
    assert question is not None
    assert question.endswith("?")
    assert "application" in question
    assert "program" not in question.split()
    assert question.index("fault") < question.index("application")


def test_a_sentence_without_synonyms_makes_no_question() -> None:
    assert (
        question_of("Seven grey geese flew slowly over frozen lakes near Uppsala yesterday evening.") is None
    )


def test_no_word_is_both_dropped_and_replaced_or_replaced_by_itself() -> None:
    assert STOP_WORDS.isdisjoint(SYNONYMS)
    assert all(word != other for word, other in SYNONYMS.items())


def test_pairs_name_the_page_and_take_turns_and_are_the_same_each_time() -> None:
    documents = {"a.pdf": ["", PAGE], "b.pdf": [f"Begin. {SECOND.replace('every', 'some')}"]}
    pairs = make_pairs(documents, 10)
    assert {(pair.file, pair.page, pair.sentence) for pair in pairs} == {
        ("a.pdf", 2, FIRST),
        ("a.pdf", 2, SECOND),
        ("b.pdf", 1, SECOND.replace("every", "some")),
    }
    assert [pair.file for pair in pairs[:2]] == ["a.pdf", "b.pdf"]
    assert pairs == make_pairs(dict(reversed(documents.items())), 10)
    assert all(isinstance(pair, Pair) for pair in make_pairs(documents, 1))


def test_a_sentence_that_stands_twice_makes_no_pair() -> None:
    assert make_pairs({"a.pdf": [PAGE, PAGE]}, 10) == []


def test_the_place_is_told_however_its_lines_and_marks_are_read() -> None:
    read = FIRST.replace("input data", "input\ndata").replace("error", "er\u00adror")
    assert plain(FIRST) in plain(f"Before. {read} After.")
    assert shared_share(FIRST, f"Before. {FIRST} After.") == 1
    assert shared_share(FIRST, SECOND) == 0
    half = " ".join(FIRST.split()[:8])
    assert 0.3 < shared_share(FIRST, half) < 0.6
    assert missing_words("It provides everything.", ["It provides", "nothing"]) == "everything."
