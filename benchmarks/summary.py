"""What the design asks for, beside what was measured: one row a number, with the peers in the same row."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders import OPENERS

Results = dict[str, dict[str, Any]]
Rows = list[dict[str, Any]]
WINDOWED, BARE = "parley", "parley window 0"
WINDOW_15, WINDOW_0 = "window 15 ms", "window 0"
PEERS = tuple(name for name in OPENERS if name not in ("direct", WINDOWED, BARE))
_GOOD = {True: "yes", False: "NO"}


@dataclass(frozen=True, slots=True)
class Goal:
    """A number to reach, and one to aim for; what is at least that is better when `is_least`."""

    what: str
    reach: float | None
    aim: float | None
    unit: str
    is_least: bool = False

    def verdict(self, values: list[float]) -> str:
        """Judge the worst of the values."""
        if not values or self.reach is None:
            return "-"
        worst = min(values) if self.is_least else max(values)

        def meets(bound: float) -> bool:
            return worst >= bound if self.is_least else worst <= bound

        if not meets(self.reach):
            return "MISSED"
        return "aim" if self.aim is not None and meets(self.aim) else "reached"

    def bound(self, value: float | None) -> str:
        """Return a bound as text."""
        return "-" if value is None else f"{'>=' if self.is_least else '<='} {value:g}{self.unit}"

    def row(self, windowed: float | None, bare: float | None, peers: dict[str, float]) -> dict[str, Any]:
        """Return the row of what was measured."""

        def shown(value: float | None) -> str:
            if value is None:
                return "-"
            return "unanswered" if math.isinf(value) else f"{value:.2f}{self.unit}"

        return {
            "what": self.what,
            "reach": self.bound(self.reach),
            "aim": self.bound(self.aim),
            WINDOW_15: shown(windowed),
            WINDOW_0: shown(bare),
            **{name: shown(peers.get(name)) for name in PEERS},
            "verdict": self.verdict([value for value in (windowed, bare) if value is not None]),
        }


def _of(rows: Rows, column: str, **where: Any) -> dict[str, Any]:
    """Return a column by contender, of the rows that match and in which it was measured."""
    return {
        row["relay"]: row[column]
        for row in rows
        if row[column] is not None and all(row.get(name) == value for name, value in where.items())
    }


def _line(goal: Goal, found: dict[str, float]) -> Rows:
    if not found:
        return []
    return [goal.row(found.get(WINDOWED), found.get(BARE), found)]


def _relayed(results: Results) -> Rows:
    rows: Rows = results["relay"]["rows"]
    found: Rows = []
    for load in ("bursts", "paced"):
        ratio = _of(rows, "ratio", load=load)
        for relay in ("gateway", "gateway+runner"):
            goal = Goal(f"CPU a relayed token, {relay} / floor, {load}", 1.5, 1.2, "x")
            found += [goal.row(None, ratio[relay], {})] if relay in ratio else []
    return found


def _against_peers(further: dict[str, float], gateway_us: float) -> dict[str, Any]:
    """Compare what a further token costs the peers, and the gateway that stands where they stand."""
    peers = {name: further[name] / gateway_us for name in PEERS if name in further}
    least = min((ratio for name, ratio in peers.items() if name.startswith("litellm")), default=None)
    goal = Goal("CPU a further token, bursts: peer / gateway, window 0", 20, 40, "x", is_least=True)
    return goal.row(None, least, peers)


def _whole(results: Results) -> Rows:
    burst = _of(results["bursts"]["rows"], "us a token")
    burst.pop("direct", None)
    rows = _line(Goal("CPU a token, bursts, upstream to client, all processes", None, None, " us"), burst)
    if own := burst.get(WINDOWED):
        ratios = {name: us / own for name, us in burst.items()}
        rows += _line(Goal("the same: peer / all of Parley, window 15 ms", None, None, "x"), ratios)
    further = _of(results["bursts"]["rows"], "a further token")
    parts = _of(results["bursts"]["rows"], "a further token, by process").get(BARE)
    if parts:
        gateway_us = sum(us for name, us in parts.items() if name.startswith("gateway"))
        rows.append(_against_peers(further, gateway_us))
    return rows


def _first(results: Results) -> Rows:
    rows: Rows = [{"relay": row["added, ms"], **row} for row in results["first_delta"]["rows"]]
    return [
        *_line(Goal("added to the first piece, 1 stream, p50", 5, 3, " ms"), _of(rows, "p50")),
        *_line(Goal("added to the first piece, 1 stream, p99", 15, None, " ms"), _of(rows, "p99")),
    ]


def _open(results: Results) -> Rows:
    found: Rows = []
    for streams, reach in ((128, 50.0), (1000, 250.0)):
        column = _of(results["open_streams"]["rows"], "added ms p99", **{"open streams": streams})
        found += _line(Goal(f"added to the first piece, {streams} open, p99", reach, None, " ms"), column)
    for streams, reach, aim in ((128, 10.0, 5.0), (1000, None, None)):
        column = _of(results["open_streams"]["gap_rows"], "gap ms p99", **{"open streams": streams})
        found += _line(Goal(f"added gap, {streams} open, p99", reach, aim, " ms"), column)
    return found


def _paced(results: Results) -> Rows:
    found: Rows = []
    for row in results["paced"]["rows"]:
        if row["relay"] == "gateway":
            exact = 100 * int(row["exact"].partition("/")[0]) / row["streams"]
            what = f"{row['streams']} paced streams through one gateway: byte-exact"
            goal = Goal(what, 100 if row["streams"] == 1000 else None, None, "%", is_least=True)
            found.append(goal.row(None, exact, {}))
    return found


def _memory(results: Results) -> Rows:
    idle = results["idle"]
    return [
        Goal("memory an idle socket", 100, 50, " KiB").row(idle["socket_kib"], None, {}),
        Goal("gateway at rest, RSS", 120, 80, " MiB").row(idle["gateway_mib"], None, {}),
        Goal("stack without Chromium, RSS", 1024, 800, " MiB").row(idle["stack_mib"], None, {}),
    ]


_PARTS: dict[str, Callable[[Results], Rows]] = {
    "relay": _relayed,
    "bursts": _whole,
    "first_delta": _first,
    "open_streams": _open,
    "paced": _paced,
    "idle": _memory,
}


def summary(results: Results, *, is_quick: bool) -> Rows:
    """Return the rows of all benchmarks that have run, with the columns of those who took part."""
    rows = [row for name, part in _PARTS.items() if name in results for row in part(results)]
    empty = {name for name in (WINDOW_15, WINDOW_0, *PEERS) if all(row[name] == "-" for row in rows)}
    rows = [{name: value for name, value in row.items() if name not in empty} for row in rows]
    for row in rows:
        if is_quick and row["verdict"] != "-":
            row["verdict"] = "not judged (--quick)"
    return rows
