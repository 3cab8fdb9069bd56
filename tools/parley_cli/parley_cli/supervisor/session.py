"""One life of a stack: everything between `parley up` and the last process being gone."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from parley_cli.exits import CliError, refusals_as_errors
from parley_cli.owner_secrets import create_secrets, require_readable
from parley_cli.settings import CliSettings
from parley_cli.supervisor.data_folder import prepare_data_folder
from parley_cli.supervisor.first_start import fetch_model, ingest_sample_docs
from parley_cli.supervisor.leftovers import stop_leftovers
from parley_cli.supervisor.processes import identity
from parley_cli.supervisor.reload import reload_on_change, watched_folders
from parley_cli.supervisor.report import Reporter
from parley_cli.supervisor.stack import Stack, build_stack
from parley_cli.supervisor.stack_state import (
    Phase,
    ProcessState,
    StackState,
    SupervisorLock,
    remove_state,
    write_state,
)
from parley_cli.supervisor.supervisor import Supervisor

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """What `parley up` was asked for."""

    gateways: int = 1
    without: Collection[str] = ()
    is_reloading: bool = False
    has_sample_docs: bool = True


class AlreadyRunningError(CliError):
    """Another supervisor holds this data folder."""


class StackSession:
    """Runs one stack in this process until it is told to stop."""

    def __init__(self, settings: CliSettings, options: StartOptions, reporter: Reporter) -> None:
        self._settings = settings
        self._options = options
        self._reporter = reporter
        self._started_at_s = time.time()

    def run(self) -> None:
        """Run to the end. Raises AlreadyRunningError, or CliError when the stack cannot start."""
        settings = self._settings
        prepare_data_folder(settings.data_dir)
        if self._options.is_reloading:
            watched_folders()
        lock = SupervisorLock(settings.run_dir)
        if not lock.take():
            raise AlreadyRunningError("Parley is already running here.", code="already_running")
        try:
            stop_leftovers(settings.data_dir, settings.grace_s, self._reporter.say)
            self._write("starting", None, ())
            asyncio.run(self._live())
        finally:
            remove_state(settings.run_dir)
            lock.release()

    async def _live(self) -> None:
        own_task = asyncio.current_task()
        assert own_task is not None
        _on_stop_signals(own_task.cancel)
        try:
            stack = await self._prepare()
        except asyncio.CancelledError:
            return
        supervisor = Supervisor(
            stack.tiers,
            environment=stack.environment,
            logs_dir=self._settings.logs_dir,
            say=self._reporter.say,
            changed=lambda now: self._write(now.phase, stack, [child.state for child in now.children]),
            ready_timeout_s=self._settings.ready_timeout_s,
        )
        _on_stop_signals(supervisor.ask_stop)
        await supervisor.run(lambda: self._beside(supervisor, stack))

    async def _prepare(self) -> Stack:
        with refusals_as_errors():
            create_secrets(self._settings.secrets_dir)
            require_readable(self._settings.secrets_dir)
        stack = await build_stack(
            self._settings, gateways=self._options.gateways, without=self._options.without
        )
        if "npu" not in self._options.without:
            await fetch_model(self._settings.data_dir, stack.environment, self._reporter.say)
        return stack

    async def _beside(self, supervisor: Supervisor, stack: Stack) -> None:
        self._reporter.ready(self._state("ready", stack, [child.state for child in supervisor.children]))
        async with asyncio.TaskGroup() as group:
            if self._options.is_reloading:
                group.create_task(reload_on_change(supervisor))
            if self._options.has_sample_docs:
                await ingest_sample_docs(self._settings.data_dir, stack, self._reporter.say)
            self._reporter.settled()

    def _state(self, phase: Phase, stack: Stack | None, processes: Collection[ProcessState]) -> StackState:
        return StackState(
            pid=os.getpid(),
            identity=identity(os.getpid()),
            phase=phase,
            url=stack.url if stack else "",
            nats_url=stack.nats_url if stack else "",
            redis_url=stack.redis_url if stack else "",
            started_at_s=self._started_at_s,
            processes=tuple(processes),
        )

    def _write(self, phase: Phase, stack: Stack | None, processes: Collection[ProcessState]) -> None:
        write_state(self._settings.run_dir, self._state(phase, stack, processes))


def _on_stop_signals(stop: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
