"""What is known of the fetching of models, by whichever process it is done."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from parley_contracts.local_models import ModelPull, PullStatus

MOST_KNOWN = 64
SILENT_S = 10.0
"""Nothing heard for so long of one that is under way: whoever did it is gone."""


class PullBoard:
    """The latest of each model; the oldest that are over are forgotten."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, tuple[ModelPull, float]] = OrderedDict()
        self._changed = asyncio.Condition()

    async def note(self, pull: ModelPull) -> None:
        """Take what is told of a fetch, unless something later is known."""
        found = self._known.get(pull.model)
        if found is not None and found[0].is_after(pull):
            return
        self._known[pull.model] = (pull, self._clock())
        self._known.move_to_end(pull.model)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        async with self._changed:
            self._changed.notify_all()

    def standing(self, model: str) -> ModelPull | None:
        """Return how a fetch stands; one that nobody tells of any more has failed."""
        found = self._known.get(model)
        if found is None:
            return None
        pull, heard_s = found
        if pull.is_settled or self._clock() - heard_s < SILENT_S:
            return pull
        error = "Whoever fetched it is gone: ask again, what came is kept."
        return pull.model_copy(
            update={"status": PullStatus.FAILED, "error": error, "number": pull.number + 1}
        )

    def all(self) -> tuple[ModelPull, ...]:
        """Return every one, the latest first."""
        found = (self.standing(model) for model in reversed(self._known))
        return tuple(pull for pull in found if pull is not None)

    async def settled(self, model: str, *, within_s: float) -> None:
        """Wait until a fetch is over, or the time is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(lambda: self._is_settled(model))

    def _is_settled(self, model: str) -> bool:
        found = self.standing(model)
        return found is None or found.is_settled
