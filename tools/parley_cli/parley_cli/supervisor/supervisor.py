"""Starts a stack, keeps it running and stops it in order."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from parley_cli.exits import CliError
from parley_cli.supervisor.back_off import LOOP_AFTER
from parley_cli.supervisor.child import Child
from parley_cli.supervisor.ports import is_free
from parley_cli.supervisor.process_spec import ProcessSpec
from parley_cli.supervisor.stack_state import Phase

KILLED_WAIT_S = 5.0
MAX_RELOAD_GRACE_S = 5.0


class Supervisor:
    """Runs tiers of processes: each tier starts together, after the tier before it is ready."""

    def __init__(
        self,
        tiers: Sequence[Sequence[ProcessSpec]],
        *,
        environment: Mapping[str, str],
        logs_dir: Path,
        say: Callable[[str], None],
        changed: Callable[["Supervisor"], None],
        ready_timeout_s: float,
    ) -> None:
        self.tiers = [[Child(spec, environment, logs_dir) for spec in tier] for tier in tiers]
        self.phase: Phase = "starting"
        self._say = say
        self._tell_change = changed
        self._ready_timeout_s = ready_timeout_s
        self._interrupted = asyncio.Event()
        self._hurried = asyncio.Event()
        self._failure: CliError | None = None

    @property
    def children(self) -> list[Child]:
        """Every process, in the order of starting."""
        return [child for tier in self.tiers for child in tier]

    def _changed(self) -> None:
        self._tell_change(self)

    def ask_stop(self) -> None:
        """Stop in order; asked again, kill what is left."""
        if self._interrupted.is_set():
            self._hurried.set()
        self._interrupted.set()

    async def run(self, when_ready: Callable[[], Awaitable[None]]) -> None:
        """Run until asked to stop. `when_ready` runs beside the stack and is cancelled when it stops.

        Raises CliError when the stack does not become ready; it has been stopped by then.
        """
        async with asyncio.TaskGroup() as group:
            beside: asyncio.Task[None] | None = None
            try:
                if await self._start(group):
                    self.phase = "ready"
                    self._changed()
                    beside = group.create_task(_as_coroutine(when_ready))
                    await self._interrupted.wait()
            finally:
                if beside is not None:
                    beside.cancel()
                await self._stop()
        if self._failure is not None:
            raise self._failure

    async def _start(self, group: asyncio.TaskGroup) -> bool:
        """Start tier after tier; False when interrupted or failed."""
        until_s = time.monotonic() + self._ready_timeout_s
        for tier in self.tiers:
            for child in tier:
                child.status = "starting"
                group.create_task(self._keep_running(child), name=child.spec.name)
            await self._until_ready(tier, until_s - time.monotonic())
            if self._interrupted.is_set():
                return False
        return True

    async def _until_ready(self, tier: list[Child], timeout_s: float) -> None:
        """Wait for a tier, or for whatever interrupts the start."""

        async def all_ready() -> None:
            for child in tier:
                await child.was_ready.wait()

        waits = {asyncio.ensure_future(all_ready()), asyncio.ensure_future(self._interrupted.wait())}
        try:
            done, _ = await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not done:
            late = [child for child in tier if not child.was_ready.is_set()]
            names = ", ".join(child.spec.name for child in late)
            self._fail(
                f"Not ready within {self._ready_timeout_s:g} s: {names}. The end of {late[0].log}:",
                late[0].log_end(),
            )

    def _fail(self, message: str, detail: str) -> None:
        if self._failure is None:
            self._failure = CliError(message, code="start_failed", detail=detail)
        self._interrupted.set()

    async def _keep_running(self, child: Child) -> None:
        try:
            while not child.stopping.is_set():
                code = await child.live(self._changed)
                if child.stopping.is_set():
                    break
                child.status = "restarting"
                child.restarts += 1
                if child.is_restart_asked:
                    child.is_restart_asked = False
                    continue
                await self._after_crash(child, code)
        except OSError as error:
            self._fail(f"{child.spec.name} cannot be started: {error.strerror or error}.", "")
        finally:
            child.status = "stopped"
            child.gone.set()
            self._changed()

    async def _after_crash(self, child: Child, code: int) -> None:
        """Say what happened and wait as long as the back-off wants, or until the stack stops."""
        name, ended = child.spec.name, _ending(code)
        if code > 0 and not is_free(child.spec.port):
            ended += f", port {child.spec.port} is taken by another program"
        delay_s = child.back_off.crashed(time.monotonic())
        if child.back_off.is_loop and not child.was_ready.is_set():
            self._fail(
                f"{name} does not start: it ended {len(child.back_off.crashes)} times ({ended})."
                f" The end of {child.log}:",
                child.log_end(),
            )
        elif len(child.back_off.crashes) == LOOP_AFTER:
            self._say(
                f"{name} keeps crashing ({LOOP_AFTER} times within a minute, {ended});"
                f" next try in {delay_s:.1f} s. The end of {child.log}:\n{child.log_end()}"
            )
        else:
            self._say(f"{name} ended by itself ({ended}); starting it again in {delay_s:.1f} s.")
        self._changed()
        waits = asyncio.ensure_future(child.stopping.wait())
        await asyncio.wait({waits}, timeout=delay_s)
        waits.cancel()

    async def restart(self, source: str | None) -> None:
        """Restart the processes made from a package, or from any when None, without back-off."""
        found = [
            child for child in self.children if child.spec.source and source in (None, child.spec.source)
        ]
        if found:
            self._say(f"Edited: {', '.join(child.spec.name for child in found)} starts again.")
        async with asyncio.TaskGroup() as group:
            for child in found:
                child.is_restart_asked = True
                group.create_task(self._end_once(child, min(child.spec.grace_s, MAX_RELOAD_GRACE_S)))

    async def _end_once(self, child: Child, grace_s: float) -> None:
        child.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await child.ended()
        except TimeoutError:
            child.signal(signal.SIGKILL)

    async def _stop(self) -> None:
        self.phase = "stopping"
        self._interrupted.set()
        self._changed()
        started = [child for child in self.children if child.status != "waiting"]
        by_rank = sorted(started, key=lambda child: child.spec.stop_rank)
        for _, rank in groupby(by_rank, key=lambda child: child.spec.stop_rank):
            async with asyncio.TaskGroup() as group:
                for child in rank:
                    group.create_task(self._stop_child(child))

    async def _stop_child(self, child: Child) -> None:
        """SIGTERM, then SIGKILL when the grace time is over or the user hurries."""
        child.stopping.set()
        child.signal(signal.SIGTERM)
        gone = asyncio.ensure_future(child.gone.wait())
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait({gone, hurried}, timeout=child.spec.grace_s, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not child.gone.is_set():
            if not self._hurried.is_set():
                self._say(f"{child.spec.name} did not stop within {child.spec.grace_s:g} s and is killed.")
            child.signal(signal.SIGKILL)
            await asyncio.wait({gone}, timeout=KILLED_WAIT_S)
        gone.cancel()


async def _as_coroutine(function: Callable[[], Awaitable[None]]) -> None:
    await function()


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
