"""Runs a service as a process: start in one order, stop in the other, exit code 0 on SIGTERM."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

import uvloop
from parley_contracts.claims import ClaimsKeys
from pydantic import ValidationError

from parley_messaging.claims_desk import ClaimsDesk
from parley_messaging.logs import configure_logs
from parley_messaging.nats_bus import NatsBus
from parley_messaging.probes import probe_server, serving
from parley_messaging.service import Service, package_version
from parley_messaging.settings import ServiceSettings

log = logging.getLogger("parley.messaging")

Settings = TypeVar("Settings", bound=ServiceSettings)
Compose = Callable[[Service, Settings], Awaitable[None]]

OpenClaims = Callable[[str, ServiceSettings], ClaimsKeys]

CANCEL_AGAIN_S = 0.5
"""How long a task may take to end that has been cancelled, before it is cancelled once more."""

LAST_STEPS_S = 5.0
"""After the grace time: how long closing may take before the process exits all the same."""


def run_service(
    name: str,
    settings_type: type[Settings],
    compose: Compose[Settings],
    *,
    claims: OpenClaims | None = None,
) -> None:
    """Run the service `name` until SIGTERM or SIGINT; a second signal exits at once.

    Args:
        name: The service.
        settings_type: Its settings.
        compose: Puts it together.
        claims: Opens the keys of claims; None for a service that answers nothing that names an owner.
    """
    parser = argparse.ArgumentParser(prog=f"parley_{name}", description=f"The {name} service of Parley.")
    parser.add_argument("--check", action="store_true", help="read the settings, say what is wrong, exit")
    parser.add_argument("--version", action="version", version=package_version(name))
    arguments = parser.parse_args()
    try:
        settings = settings_type()
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            where = ".".join(str(part) for part in fault["loc"])
            sys.stderr.write(f"setting {where}: {fault['msg']}\n")
        raise SystemExit(2) from None
    if arguments.check:
        return
    configure_logs(name, settings.instance, settings.log_level, shows_content=settings.log_content)
    try:
        keys = claims(name, settings) if claims else None
        uvloop.run(_serve(name, settings, compose, ClaimsDesk(keys, settings.claims)))
    except Exception as error:
        cause = _only_cause(error)
        # What the environment lacks: a server that is away, a port that is taken, a file that is missing.
        is_outside = isinstance(cause, OSError) or isinstance(error, ValueError)
        reason = str(cause) or type(cause).__name__
        log.critical("cannot run", extra={"reason": reason}, exc_info=None if is_outside else error)
        raise SystemExit(1) from None


def _only_cause(error: Exception) -> Exception:
    """Return what a group of one holds: a resource that is open wraps what fails while it is."""
    held: tuple[Exception, ...] = getattr(error, "exceptions", ())
    return _only_cause(held[0]) if len(held) == 1 else error


async def _serve(name: str, settings: Settings, compose: Compose[Settings], claims: ClaimsDesk) -> None:
    stop = StopSignal()
    bus = NatsBus(
        settings.nats_url,
        name=settings.instance,
        replicas=settings.nats_replicas,
        grace_s=settings.grace_s,
        start_timeout_s=settings.bus_start_s,
        access=settings.bus_access(name),
        claims=claims,
    )
    service = Service(name, settings, bus)
    async with service.stack:
        service.stack.push_async_callback(bus.close)
        async with AsyncExitStack() as resources:
            async with stop.cutting_short():
                await bus.connect()
                service.spawn(bus.keep_streams)
                service.spawn(partial(bus.audit.run, bus))
                service.stack = resources
                await compose(service, settings)
                if settings.health_port is not None:
                    probes = probe_server(service.probe_routes(), settings.health_host, settings.health_port)
                    await resources.enter_async_context(serving(probes))
                await bus.start()
            if not stop.came.is_set():
                _freeze_heap()
                service.is_started = True
                log.info("ready", extra={"version": package_version(name)})
                await _run_until(service, stop.came, bus.closed, settings.grace_s)
    log.info("stopped")


def _freeze_heap() -> None:
    """Leave what the start has made out of later collections: to walk over it stops the loop for 30 ms."""
    gc.collect()
    gc.freeze()


class StopSignal:
    """SIGTERM or SIGINT, which came or did not; a second one exits at once."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self._clock: asyncio.Timeout | None = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._come)

    def _come(self) -> None:
        if self.came.is_set():
            os._exit(1)
        self.came.set()
        if self._clock is not None:
            loop = asyncio.get_running_loop()
            # What has been opened is closed, but a start that hangs does not hold the process.
            loop.call_later(LAST_STEPS_S, _give_up)
            self._clock.reschedule(loop.time())

    @asynccontextmanager
    async def cutting_short(self) -> AsyncGenerator[None]:
        """Leave the body at once when the signal comes: there is no work yet that could be lost."""
        try:
            async with asyncio.timeout(None) as self._clock:
                yield
        except TimeoutError:
            if not self.came.is_set():
                raise
            log.info("stopped while starting")
        finally:
            self._clock = None


async def _fail_when_closed(closed: Callable[[], Awaitable[None]]) -> None:
    await closed()
    # Nothing connects it again; a new process does.
    raise ConnectionError("the bus has closed the connection for good")


async def _run_until(
    service: Service, stopped: asyncio.Event, bus_closed: Callable[[], Awaitable[None]], grace_s: float
) -> None:
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(_fail_when_closed(bus_closed))
        background = [tasks.create_task(work()) for work in service.background]
        loops = [tasks.create_task(loop.run()) for loop in service.loops]
        await stopped.wait()
        await _shut_down(service, loops, grace_s)
        await _cancel({listening, *background, *loops})


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    """End tasks. One that swallows its cancellation, as `wait_for` may before Python 3.12, is asked again."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)


def _give_up() -> None:
    log.critical("did not stop in time")
    os._exit(1)


async def _finish(finish: Callable[[], Awaitable[None]]) -> None:
    try:
        await finish()
    except Exception:
        # What is left of the shutdown is still to be done, in order.
        log.exception("a step of stopping failed")


async def _shut_down(service: Service, loops: list[asyncio.Task[None]], grace_s: float) -> None:
    """Arm the deadline, stop intake, finish what is at hand; closing follows in `_serve`."""
    log.info("stopping", extra={"jobs": sum(loop.jobs_running for loop in service.loops)})
    service.is_stopping = True
    asyncio.get_running_loop().call_later(grace_s + LAST_STEPS_S, _give_up)
    for loop in service.loops:
        loop.stop_intake()
    try:
        async with asyncio.timeout(grace_s):
            for finish in service.before_stop:
                await _finish(finish)
            if loops:
                await asyncio.wait(loops)
            await service.bus.stop_answering()
            await _finish(partial(service.bus.audit.finish, service.bus))
    except TimeoutError:
        log.warning("grace time is over; what is left is taken over by others")
