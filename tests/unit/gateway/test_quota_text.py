"""Quotas as an operator writes them."""

import pytest
from parley_contracts.usage import Amount
from parley_gateway.quota_text import parse_most
from parley_limits import Most


@pytest.mark.parametrize("text", ["turns", "turns=", "turns=-1", "turns=1,turns=2", "calls=3", "turns=1.5"])
def test_what_is_no_quota_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is no quota"):
        parse_most(text)


def test_a_quota_names_what_is_limited_and_leaves_out_what_is_not() -> None:
    assert parse_most("turns=5, micros=7") == Most(turns=5, micros=7)
    assert not parse_most("").is_limited
    assert parse_most("turns=5").share(50) == Most(turns=2)
    assert Amount().turns == 0
