"""An answer that rests on no document says so, on the terminal as on the page."""

from pathlib import Path

import pytest
from parley_cli.client.answer import Answer
from parley_cli.client.support_words import WORDS, support_words
from parley_contracts.turn_events import Sync, TurnCompleted
from parley_contracts.turns import Support, TokenUsage, TurnOutcome, TurnTimings

PAGE = Path(__file__).parents[3] / "services/gateway/parley_gateway/page/words.js"


def completed(support: Support | None) -> TurnCompleted:
    return TurnCompleted(
        seq=3_000_000,
        follows=2_000_001,
        turn_id="t",
        conversation_id="c",
        model="m",
        usage=TokenUsage(),
        finish_reason="stop",
        citations=(),
        support=support,
        degraded=(),
        timings=TurnTimings(),
        stored="yes",
    )


@pytest.mark.parametrize(
    ("support", "says_so"),
    [(None, False), (Support.CITED, False), (Support.UNCITED, True), (Support.NOTHING_FOUND, True)],
)
def test_only_an_answer_without_support_is_remarked_on(support: Support | None, *, says_so: bool) -> None:
    answer = Answer("t")
    assert answer.support is None
    answer.apply(completed(support))
    assert bool(support_words(answer.support)) is says_so
    assert answer.as_json()["support"] == support


def test_a_stored_answer_knows_its_support_while_its_seal_is_kept() -> None:
    answer = Answer("t")
    answer.apply(
        Sync(
            seq=3,
            turn_id="t",
            conversation_id="c",
            outcome=TurnOutcome.COMPLETED,
            text="So.",
            support=Support.UNCITED,
        )
    )
    assert answer.support is Support.UNCITED


def test_the_page_uses_the_same_words() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(words in page for words in WORDS.values())
