"""What a turn costs is what its calls were made at, unless the operator has set other prices."""

from pathlib import Path

import pytest
from parley_contracts.turns import CallTotals, Seal, TokenUsage, TurnOutcome, TurnRef
from parley_gateway.settings import GatewaySettings
from parley_gateway.spending import Spending

USAGE = TokenUsage(prompt_tokens=1_000_000, completion_tokens=1_000_000)


def sealed(model: str, calls: CallTotals) -> Seal:
    return Seal(
        nonce="n",
        turn=TurnRef(turn_id="t", client_turn_id="t", owner_id="ada", home="g"),
        conversation_id="c",
        outcome=TurnOutcome.COMPLETED,
        user_text="x",
        text="y",
        model=model,
        usage=USAGE,
        calls=calls,
        accepted_at_ms=1,
        sealed_at_ms=2,
    )


@pytest.mark.parametrize(
    ("model", "told_micros", "cost_micros"),
    [("priced", 7, 30), ("priced", None, 30), ("listed", 7, 7), ("listed", None, 0), ("listed", 0, 0)],
    ids=["set-before-told", "set", "told", "unknown", "free"],
)
def test_the_operator_s_price_goes_before_that_of_the_list(
    tmp_path: Path, model: str, told_micros: int | None, cost_micros: int
) -> None:
    settings = GatewaySettings.model_validate(
        {"data_dir": tmp_path, "gateway_prices": '{"priced": [10, 20]}'}
    )
    calls = CallTotals(count=1, cost_micros=told_micros, first_token_ms=12, writing_ms=34)
    found = Spending(settings).record(sealed(model, calls))

    assert found.cost_micros == cost_micros
    assert found.calls == calls


def test_calls_of_which_one_has_no_price_have_none_together() -> None:
    told = CallTotals(count=1, cost_micros=5, first_token_ms=10, writing_ms=20)

    assert told + told == CallTotals(count=2, cost_micros=10, first_token_ms=20, writing_ms=40)
    assert (told + CallTotals(count=1)).cost_micros is None
    assert (told + CallTotals(cost_micros=0)) == told
