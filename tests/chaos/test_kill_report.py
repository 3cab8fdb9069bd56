"""The tables of a run of kills hold every measure, in lines that a terminal shows whole."""

from dataclasses import fields

import pytest

from tests.chaos.kill_report import HIT, PROMISED, KillRow, table

pytestmark = pytest.mark.chaos

COLUMNS = 110
ROW = KillRow(
    killed="socket-gateway",
    turns=121,
    open_at_kill=100,
    accepted=121,
    completed=121,
    failed=0,
    cancelled=0,
    user=121,
    assistant=121,
    gaps=0,
    repeats=0,
    calls=122,
    continued=1,
    broken_off=1,
    runners_hit=50,
    writers_hit=50,
    reconnects=16,
    stored_late=0,
    degraded=0,
    worst_pause_s=11.25,
    took_s=100.5,
)


def test_every_measure_stands_in_one_of_the_tables():
    assert {"killed", *PROMISED, *HIT} == {field.name for field in fields(KillRow)}


def test_the_tables_fit_a_terminal_and_name_who_paused_for_long():
    lines = table([ROW]).splitlines()

    assert max(map(len, lines)) <= COLUMNS
    assert sum(line.startswith("socket-gateway") for line in lines) == 2
    assert lines[-1] == "paused over 8 s: socket-gateway"
