"""The fetching of models: one at a time for each, whoever asks, and told to everybody who watches.

It goes on when its reader leaves. Every process of this service hears of every fetch, so any of them can say
how it stands; the one that runs it tells of it every two seconds at least.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.local_models import (
    CancelPull,
    DeleteModel,
    ListPulls,
    ModelPull,
    ModelPullChanged,
    PullList,
    PullModel,
    PullStatus,
    tagged,
)
from parley_contracts.replies import Done
from parley_messaging import Bus
from parley_messaging.bus import Delivery
from parley_messaging.error_boundary import described
from parley_messaging.message_headers import now_ms
from pydantic import ValidationError

from parley_llm.backends.ollama_library import OllamaLibrary
from parley_llm.pull_board import PullBoard

MOST_AT_ONCE = 4
TELL_S = 0.25
BEAT_S = 2.0
STOP_S = 5.0

_log = logging.getLogger("parley.llm")


@dataclass(slots=True)
class _Running:
    pull: ModelPull
    told_s: float = 0.0
    reason: str = "It was cancelled."
    task: asyncio.Task[None] | None = None


class Pulls:
    """Fetches and deletes models of one server. `on_change` is called when there are other models."""

    def __init__(self, bus: Bus, library: OllamaLibrary, *, on_change: Callable[[], Awaitable[None]]) -> None:
        self._bus = bus
        self._library = library
        self._on_change = on_change
        self._board = PullBoard()
        self._running: dict[str, _Running] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def start(self) -> None:
        """Begin to hear what others fetch."""
        await self._bus.subscribe(subjects.LLM_PULL_CHANGED, self._hear)

    async def run(self) -> None:
        """Fetch what is asked for, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while True:
                await asyncio.sleep(BEAT_S)
                for running in tuple(self._running.values()):
                    await self._tell(running.pull)

    async def stop(self) -> None:
        """End what this process fetches, and say why."""
        self._tasks = None
        for running in tuple(self._running.values()):
            await self._stop(
                running, "The service that fetched it has stopped: ask again, what came is kept."
            )

    async def pull(self, request: PullModel) -> ModelPull:
        """Fetch a model; where that is under way already, return how it stands."""
        model = tagged(request.model)
        name = self._library.name_of(model)
        known = self._board.standing(model)
        if known is not None and not known.is_settled:
            return known
        if self._tasks is None:
            raise ParleyError(ErrorCode.UNAVAILABLE, "The service is stopping: ask again.")
        if len(self._running) >= MOST_AT_ONCE:
            raise ParleyError(ErrorCode.OVERLOADED, f"{MOST_AT_ONCE} models are being fetched already.")
        at_ms = now_ms()
        pull = ModelPull(
            model=model,
            status=PullStatus.PULLING,
            started_at_ms=at_ms,
            changed_at_ms=at_ms,
        )
        self._running[pull.model] = running = _Running(pull)
        await self._board.note(pull)
        running.task = self._tasks.create_task(self._fetch(running, name))
        return pull

    async def cancel(self, request: CancelPull) -> ModelPull:
        """Stop fetching a model, whichever process does it; one that is over stays as it ended."""
        pull = self._known(request.model)
        if (running := self._running.get(pull.model)) is not None:
            await self._stop(running, "An operator stopped it.")
        elif not pull.is_settled:
            await self._publish(ModelPullChanged(pull=pull, is_to_stop=True))
            await self._board.settled(pull.model, within_s=STOP_S)
        return self._known(request.model)

    async def list(self, _: ListPulls) -> PullList:
        """Return what is and was lately fetched, the latest first."""
        return PullList(pulls=self._board.all())

    async def delete(self, request: DeleteModel) -> Done:
        """Delete a model from its server."""
        model = tagged(request.model)
        name = self._library.name_of(model)
        known = self._board.standing(model)
        if known is not None and not known.is_settled:
            raise ParleyError(
                ErrorCode.CONFLICT, f"{model} is being fetched: cancel that first.", field="model"
            )
        await self._library.delete(name)
        _log.info("model deleted", extra={"model": model})
        await self._on_change()
        return Done()

    def _known(self, model: str) -> ModelPull:
        found = self._board.standing(tagged(model))
        if found is None:
            raise ParleyError(ErrorCode.NOT_FOUND, f"{model} is not being fetched.", field="model")
        return found

    async def _fetch(self, running: _Running, name: str) -> None:
        model = running.pull.model
        _log.info("model is fetched", extra={"model": model})
        try:
            async with aclosing(self._library.pull(name)) as steps:
                async for step in steps:
                    await self._change(
                        running, stage=step.stage, total_bytes=step.total_bytes, done_bytes=step.done_bytes
                    )
            done_bytes = running.pull.total_bytes
            await self._settle(running, status=PullStatus.READY, done_bytes=done_bytes)
            await self._on_change()
        except ParleyError as error:
            await self._settle(running, status=PullStatus.FAILED, error=error.message)
        except asyncio.CancelledError:
            await self._settle(running, status=PullStatus.CANCELLED, error=running.reason)
            raise
        except Exception:  # noqa: BLE001 - the boundary of a task that nobody waits for
            _log.exception("model not fetched", extra={"model": model})
            await self._settle(running, status=PullStatus.FAILED, error="Something went wrong here.")

    async def _settle(self, running: _Running, **changed: object) -> None:
        running.told_s = 0.0
        self._running.pop(running.pull.model, None)
        await self._change(running, **changed)
        pull = running.pull
        _log.info(
            "fetch of a model is over",
            extra={"model": pull.model, "status": pull.status.value, "reason": pull.error},
        )

    async def _change(self, running: _Running, **changed: object) -> None:
        """Note how a fetch stands now, and tell it unless something was told only just now."""
        pull = running.pull
        update = {**changed, "changed_at_ms": now_ms(), "number": pull.number + 1}
        running.pull = pull.model_copy(update=update)
        await self._board.note(running.pull)
        now_s = time.monotonic()
        if running.pull.stage != pull.stage or now_s - running.told_s >= TELL_S:
            running.told_s = now_s
            await self._tell(running.pull)

    async def _tell(self, pull: ModelPull) -> None:
        await self._board.note(pull)
        await self._publish(ModelPullChanged(pull=pull))

    async def _publish(self, event: ModelPullChanged) -> None:
        data = event.model_dump_json(exclude_none=True).encode()
        try:
            await self._bus.publish(subjects.LLM_PULL_CHANGED, data)
        except Exception:  # noqa: BLE001 - it is told again in two seconds, and whoever asks is answered
            _log.warning("fetch of a model not told", extra={"model": event.pull.model}, exc_info=True)

    async def _stop(self, running: _Running, reason: str) -> None:
        running.reason = reason
        if running.task is not None:
            running.task.cancel()
            await asyncio.wait((running.task,), timeout=STOP_S)
        if running.pull.model in self._running:
            # It was stopped before it began.
            await self._settle(running, status=PullStatus.CANCELLED, error=reason)

    async def _hear(self, delivery: Delivery) -> None:
        try:
            event = ModelPullChanged.model_validate_json(delivery.data)
        except ValidationError as error:
            _log.warning("event of a fetch cannot be read", extra={"fault": described(error).message})
            return
        running = self._running.get(event.pull.model)
        if not event.is_to_stop:
            await self._board.note(event.pull)
        elif running is not None:
            await self._stop(running, "An operator stopped it.")
