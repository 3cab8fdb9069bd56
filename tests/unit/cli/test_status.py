"""What `parley status` says of a stack."""

import pytest
from parley_cli.commands.stack import headline
from parley_cli.supervisor.stack_state import Phase, ProcessState, StackState, Status


def state(phase: Phase, **statuses: Status) -> StackState:
    rows = [
        ProcessState(name=name, pid=1, identity="1", port=1, status=status, ready_after_s=None, restarts=0)
        for name, status in statuses.items()
    ]
    return StackState(
        pid=1,
        identity="1",
        phase=phase,
        url="http://127.0.0.1:8000",
        nats_url="",
        redis_url="",
        started_at_s=0,
        processes=tuple(rows),
    )


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (state("ready", gateway="ready", rag="ready"), "Parley is ready."),
        (state("starting", gateway="waiting"), "Parley is starting."),
        (state("stopping", gateway="stopped"), "Parley is stopping."),
        (
            state("ready", gateway="ready", rag="starting", llm="restarting"),
            "Parley is running, but not ready: rag (starting), llm (restarting).",
        ),
    ],
)
def test_a_stack_is_ready_when_all_of_it_is(shown: StackState, sentence: str) -> None:
    assert headline(shown) == sentence
