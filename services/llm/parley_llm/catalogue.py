"""Which models can be reached now, and whose each one is."""

import asyncio
import time
from collections.abc import Callable, Sequence

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelList
from parley_contracts.turns import TokenUsage

from parley_llm.answer_cache import AnswerCache, CacheEntry
from parley_llm.declared_sight import DeclaredSight
from parley_llm.language_model import LanguageModel
from parley_llm.model_prices import ModelPrices
from parley_llm.provider_guard import ProviderGuards

FRESH_S = 3.0


class Catalogue:
    """The language models of this service in order of preference, the one that is always there last.

    Attributes:
        guards: What stands before the calls of each provider.
    """

    def __init__(
        self,
        models: Sequence[LanguageModel],
        *,
        prices: ModelPrices | None = None,
        sight: DeclaredSight | None = None,
        guards: ProviderGuards | None = None,
        answers: AnswerCache | None = None,
        fresh_s: float = FRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = tuple(models)
        self._prices = prices or ModelPrices()
        self._sight = sight or DeclaredSight(())
        self.guards = guards or ProviderGuards()
        self._answers = answers
        self._fresh_s = fresh_s
        self._clock = clock
        self._listed: ModelList | None = None
        self._listed_at_s = 0.0
        self._asking = asyncio.Lock()

    async def list(self) -> ModelList:
        """Return the reachable models, the default first; asked again after a few seconds."""
        async with self._asking:
            now_s = self._clock()
            if self._listed is None or now_s - self._listed_at_s >= self._fresh_s:
                found = await asyncio.gather(*(model.models() for model in self._models))
                models = tuple(
                    self._prices.priced(self._sight.told(info)) for infos in found for info in infos
                )
                self._listed = ModelList(models=models)
                self._listed_at_s = now_s
            return self._listed

    def forget(self) -> None:
        """Have the models asked for anew by whoever wants them next."""
        self._listed = None

    async def remembered(self, job: GenerateJob, pool: str) -> CacheEntry | None:
        """Return the place of an answer in the cache; None for one that is not to be there."""
        if self._answers is None or not job.uses_cache:
            return None
        listed = (await self.list()).models
        version = next((info.version for info in listed if info.id == job.model), "")
        return await self._answers.entry(job, pool, version)

    def cost_micros(self, model_id: str, usage: TokenUsage) -> int | None:
        """Return what calls of a model cost that used so much; None where its price is unknown."""
        if usage.is_told and self._prices.of(model_id) is None:
            return None
        return self._prices.cost_micros(model_id, usage)

    @property
    def pools(self) -> tuple[str, ...]:
        """The worker pools whose jobs this service takes."""
        return tuple(dict.fromkeys(model.pool for model in self._models))

    @property
    def last_resort(self) -> LanguageModel:
        """The model that is always there."""
        return self._models[-1]

    def resolve(self, model_id: str) -> LanguageModel:
        """Return who serves a model, reachable or not. Raises ParleyError model_not_found."""
        for model in self._models:
            if model.serves(model_id):
                return model
        raise ParleyError(ErrorCode.MODEL_NOT_FOUND, f"there is no model {model_id}", field="model")
