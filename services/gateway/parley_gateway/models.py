"""The models that clients may choose, as the language-model service last told."""

import asyncio
import time
from contextlib import suppress

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import ListModels, ModelInfo, ModelList
from parley_contracts.turns import ChosenModel
from parley_messaging import Bus
from parley_messaging.bus import Delivery

FRESH_S = 5.0
USABLE_S = 30.0
"""A turn goes by what was told in this time, and has it asked again behind its back when it is not fresh."""

ASK_TIMEOUT_S = 2.0
RETRY_S = 1.0
FIRST_S = 2.0
"""How long a turn that names its model waits for the first word of any: all may have started just now."""

FIRST_RETRY_S = 0.1
DEFAULT_CONTEXT_TOKENS = 8192
FALLBACK = ModelInfo(
    id="extractive", pool="extractive", context_tokens=DEFAULT_CONTEXT_TOKENS, owned_by="parley"
)


class Models:
    """Asks at most every few seconds; when nobody answers, the last answer stands."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: tuple[ModelInfo, ...] = ()
        self._asked_s = float("-inf")
        self._asking = asyncio.Lock()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Ask at once, and again when turns go by what is no longer fresh, until cancelled."""
        await self._bus.subscribe(subjects.LLM_MODELS_CHANGED, self._hear)
        self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.list()

    async def _hear(self, _: Delivery) -> None:
        # What is known serves until there is an answer.
        self._asked_s = min(self._asked_s, time.monotonic() - FRESH_S)
        self._wanted.set()

    async def list(self) -> tuple[ModelInfo, ...]:
        """Return the reachable models, the default first; empty when none was ever told of."""
        if time.monotonic() - self._asked_s >= FRESH_S:
            async with self._asking:
                if time.monotonic() - self._asked_s >= FRESH_S:
                    await self._ask()
        return self._known

    async def _first_told(self) -> tuple[ModelInfo, ...]:
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                while True:
                    if await self.list():
                        break
                    await asyncio.sleep(FIRST_RETRY_S)
        return self._known

    @property
    def pools(self) -> frozenset[str]:
        """The worker pools of the models that were told of."""
        return frozenset(model.pool for model in self._known)

    def known_pool(self, model_id: str | None) -> str | None:
        """Return the pool of a model, as far as it was told of: nobody is asked."""
        if model_id is None:
            return self._known[0].pool if self._known else None
        return next((model.pool for model in self._known if model.id == model_id), None)

    async def _ask(self) -> None:
        try:
            found = await self._bus.request(
                subjects.LLM_MODELS, ListModels(), ModelList, timeout_s=ASK_TIMEOUT_S
            )
        except ParleyError:
            # Not asked again at once: everybody who starts a turn would wait for it in turn.
            self._asked_s = time.monotonic() - FRESH_S + (RETRY_S if self._known else FIRST_RETRY_S)
            return
        self._known, self._asked_s = found.models, time.monotonic()

    async def choose(self, model_id: str | None) -> ModelInfo:
        """Return the model of that id, or the default one.

        Raises:
            ParleyError: `model_not_found` when the id names none, `unavailable` when nobody can tell.
        """
        models = self._known
        age_s = time.monotonic() - self._asked_s
        is_told_of = bool(models) if model_id is None else any(model.id == model_id for model in models)
        if not models and model_id not in (None, FALLBACK.id):
            models = await self._first_told()
        elif age_s >= USABLE_S or not is_told_of:
            models = await self.list()
        elif age_s >= FRESH_S:
            self._wanted.set()
        if model_id is None:
            return models[0] if models else FALLBACK
        for model in models:
            if model.id == model_id:
                return model
        if models:
            raise ParleyError(ErrorCode.MODEL_NOT_FOUND, f"There is no model {model_id!r}.", field="model")
        if model_id == FALLBACK.id:
            return FALLBACK
        raise ParleyError(ErrorCode.UNAVAILABLE, "The models cannot be asked for now.", field="model")


def chosen_of(model: ModelInfo) -> ChosenModel:
    """Return a model as a turn keeps it."""
    return ChosenModel(
        id=model.id,
        pool=model.pool,
        context_tokens=model.context_tokens,
        sees_images="vision" in model.capabilities,
    )
