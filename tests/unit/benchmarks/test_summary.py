"""The last table of the benchmarks: who took part stands in it, and short runs are not judged."""

from typing import Any

from benchmarks.figures import LEAST_FOR_P99, spread
from benchmarks.summary import summary


def measured(**contenders: int) -> dict[str, Any]:
    rows = [
        {"added, ms": name.replace("_", " "), **spread([1.0] * count)} for name, count in contenders.items()
    ]
    return {"first_delta": {"rows": rows}}


def test_only_who_took_part_has_a_column() -> None:
    rows = summary(measured(direct=200, parley=200, litellm=200), is_quick=False)
    assert list(rows[0]) == ["what", "reach", "aim", "window 15 ms", "litellm", "verdict"]
    assert [row["verdict"] for row in rows] == ["aim", "reached"]


def test_a_short_run_is_not_judged() -> None:
    rows = summary(measured(parley=200), is_quick=True)
    assert {row["verdict"] for row in rows} == {"not judged (--quick)"}


def test_of_few_values_no_p99_is_told() -> None:
    assert spread([1.0] * (LEAST_FOR_P99 - 1))["p99"] is None
    assert spread([1.0] * LEAST_FOR_P99)["p99"] == 1.0
    assert len(summary(measured(parley=60), is_quick=True)) == 1
