"""The supervisor with stand-in processes: order, restarts, back-off, failing starts."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest
from parley_cli.exits import CliError
from parley_cli.supervisor.process_spec import ProcessSpec
from parley_cli.supervisor.processes import identity
from parley_cli.supervisor.supervisor import Supervisor

SpecMaker = Callable[..., ProcessSpec]
SupervisorMaker = Callable[..., Supervisor]
Running = Callable[[Supervisor], AbstractAsyncContextManager[asyncio.Task[None]]]
Eventually = Callable[..., Awaitable[None]]


class Journal(Protocol):
    def lines(self, what: str) -> list[str]: ...


class Told(Protocol):
    sentences: list[str]


async def nothing() -> None:
    """Stand for what runs beside a stack."""


async def test_a_tier_starts_only_after_the_tier_before_it_is_ready(
    spec: SpecMaker, supervisor_of: SupervisorMaker, running: Running, journal: Journal
) -> None:
    supervisor = supervisor_of([spec("broker", "--ready-after", "0.3")], [spec("one"), spec("two")])
    async with running(supervisor):
        assert journal.lines("start")[0] == "broker"
        assert sorted(journal.lines("start")[1:]) == ["one", "two"]
        assert all(child.state.status == "ready" for child in supervisor.children)
        waited_s = supervisor.children[0].ready_after_s
        assert waited_s is not None
        assert waited_s >= 0.3


async def test_processes_stop_by_rank_and_each_waits_for_the_one_before(
    spec: SpecMaker, supervisor_of: SupervisorMaker, running: Running, journal: Journal
) -> None:
    supervisor = supervisor_of(
        [spec("nats", rank=5), spec("redis", rank=4)], [spec("llm", rank=1), spec("gateway", rank=0)]
    )
    async with running(supervisor) as task:
        supervisor.ask_stop()
        await task
    assert journal.lines("end") == ["gateway", "llm", "redis", "nats"]
    assert journal.lines("term") == ["gateway", "llm", "redis", "nats"]


async def test_a_process_that_crashes_is_started_again_and_that_is_told(
    spec: SpecMaker,
    supervisor_of: SupervisorMaker,
    running: Running,
    eventually: Eventually,
    told: Told,
) -> None:
    supervisor = supervisor_of([spec("rag")])
    async with running(supervisor):
        child = supervisor.children[0]
        first = child.state.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: child.state.status == "ready" and child.state.pid not in (None, first))
        assert child.state.restarts == 1
    assert told.sentences == ["rag ended by itself (killed by SIGKILL); starting it again in 0.1 s."]


async def test_a_port_that_another_program_has_taken_is_told(
    spec: SpecMaker, supervisor_of: SupervisorMaker, told: Told
) -> None:
    taken = spec("rag")
    with socket.socket() as other:
        other.bind(("127.0.0.1", taken.port))
        other.listen()
        with pytest.raises(CliError, match="rag does not start") as caught:
            await supervisor_of([taken]).run(nothing)
    reason = f"exit code 1, port {taken.port} is taken by another program"
    assert reason in caught.value.message
    assert told.sentences[0] == f"rag ended by itself ({reason}); starting it again in 0.1 s."


async def test_a_crash_loop_of_a_running_stack_is_told_once_with_the_end_of_the_log(
    spec: SpecMaker,
    supervisor_of: SupervisorMaker,
    running: Running,
    eventually: Eventually,
    told: Told,
) -> None:
    supervisor = supervisor_of([spec("rag")])
    async with running(supervisor):
        child = supervisor.children[0]
        for restarts in range(3):
            await eventually(lambda: child.state.status == "ready")
            child.signal(signal.SIGKILL)
            await eventually(lambda restarts=restarts: child.state.restarts == restarts + 1)
    loops = [sentence for sentence in told.sentences if "keeps crashing (3 times" in sentence]
    assert len(loops) == 1
    assert "rag.log" in loops[0]


async def test_a_process_that_never_starts_fails_the_start_and_stops_the_others(
    spec: SpecMaker, supervisor_of: SupervisorMaker, journal: Journal
) -> None:
    supervisor = supervisor_of([spec("npu"), spec("rag", "--crashes", "9")])
    with pytest.raises(CliError) as caught:
        await supervisor.run(nothing)
    assert caught.value.message.startswith("rag does not start: it ended 3 times (exit code 7). The end of")
    assert "the reason stands in the log" in caught.value.detail
    assert journal.lines("end") == ["npu"]


async def test_a_service_that_starts_at_its_second_try_does_not_fail_the_start(
    spec: SpecMaker, supervisor_of: SupervisorMaker, running: Running
) -> None:
    supervisor = supervisor_of([spec("rag", "--crashes", "2")])
    async with running(supervisor):
        assert supervisor.children[0].state.restarts == 2


async def test_a_service_that_is_never_ready_is_named_when_the_time_is_up(
    spec: SpecMaker, supervisor_of: SupervisorMaker
) -> None:
    supervisor = supervisor_of([spec("npu"), spec("rag", "--ready-after", "99")], ready_timeout_s=1.5)
    with pytest.raises(CliError, match=r"Not ready within 1\.5 s: rag\."):
        await supervisor.run(nothing)


async def test_a_program_that_is_not_there_fails_the_start_with_its_name(
    spec: SpecMaker, supervisor_of: SupervisorMaker
) -> None:
    missing: Any = spec("rag")
    object.__setattr__(missing, "argv", ("/nowhere/python",))
    with pytest.raises(CliError, match="rag cannot be started: No such file or directory"):
        await supervisor_of([missing]).run(nothing)


async def test_a_process_that_ignores_sigterm_is_killed_after_its_grace_time(
    spec: SpecMaker, supervisor_of: SupervisorMaker, running: Running, told: Told
) -> None:
    supervisor = supervisor_of([spec("rag", "--ignores-term", grace_s=0.3)])
    async with running(supervisor):
        pid = supervisor.children[0].state.pid
        assert pid is not None
    assert told.sentences == ["rag did not stop within 0.3 s and is killed."]
    assert identity(pid) is None


async def test_a_second_ctrl_c_kills_without_waiting_for_the_grace_time(
    spec: SpecMaker,
    supervisor_of: SupervisorMaker,
    running: Running,
    eventually: Eventually,
    journal: Journal,
) -> None:
    supervisor = supervisor_of([spec("rag", "--ignores-term", grace_s=60)])
    async with running(supervisor) as task:
        supervisor.ask_stop()
        await eventually(lambda: journal.lines("term") == ["rag"])
        supervisor.ask_stop()
        async with asyncio.timeout(10):
            await task


async def test_stopping_while_a_process_backs_off_does_not_start_it_again(
    spec: SpecMaker,
    supervisor_of: SupervisorMaker,
    running: Running,
    eventually: Eventually,
    journal: Journal,
) -> None:
    supervisor = supervisor_of([spec("rag")])
    async with running(supervisor):
        child = supervisor.children[0]
        child.back_off.crashes.extend([asyncio.get_running_loop().time()] * 8)
        child.signal(signal.SIGKILL)
        await eventually(lambda: child.state.status == "restarting")
    assert journal.lines("start") == ["rag"]


async def test_a_reload_restarts_only_the_edited_service_and_without_back_off(
    spec: SpecMaker,
    supervisor_of: SupervisorMaker,
    running: Running,
    eventually: Eventually,
    journal: Journal,
) -> None:
    supervisor = supervisor_of([spec("rag"), spec("npu")])
    async with running(supervisor):
        await supervisor.restart("parley_rag")
        await eventually(lambda: journal.lines("start").count("rag") == 2)
        await eventually(lambda: supervisor.children[0].state.status == "ready")
        assert not supervisor.children[0].back_off.crashes
    assert journal.lines("start").count("npu") == 1
