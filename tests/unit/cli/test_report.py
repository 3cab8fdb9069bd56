"""What a start tells to whom."""

import io
import os

from parley_cli.supervisor.report import PipeReporter, read_reports
from parley_cli.supervisor.stack_state import StackState
from rich.console import Console

STATE = StackState(
    pid=1, identity="1", phase="ready", url="", nats_url="", redis_url="", started_at_s=0, processes=()
)


def test_who_detached_a_start_is_released_at_its_end_and_not_when_the_processes_are_ready() -> None:
    reading, writing = os.pipe()
    reporter = PipeReporter(writing, Console(file=io.StringIO()))
    reporter.ready(STATE)
    reporter.say("Reading.")
    reporter.settled()
    reporter.say("Nobody waits any more.")
    with os.fdopen(reading, encoding="utf-8") as pipe:
        assert list(read_reports(pipe)) == [{"say": "Reading."}, {"settled": True}]
