"""What each call of a model takes and costs, under OpenTelemetry's names for generative AI.

Source: https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-metrics.md,
with dots as underscores with the unit at the end, as Prometheus has it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from parley_contracts.errors import ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import CallTotals, TokenUsage
from prometheus_client import CollectorRegistry, Counter, Histogram

from parley_llm.language_model import Chunk, FinalChunk, LanguageModel
from parley_llm.model_prices import ModelPrices

TOKENS = tuple(4**power for power in range(14))
SECONDS = tuple(0.01 * 2**power for power in range(14))
FIRST_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
OTHER = "_OTHER"
"""The conventions' name of a value that is not told apart: names that anybody may make up are no labels."""

_WHERE = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"]
_CHAT = "chat"


class CallMeter:
    """The metrics of the calls of one service."""

    def __init__(self, registry: CollectorRegistry, prices: ModelPrices) -> None:
        self._prices = prices
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call: of its input, and of its output.",
            [*_WHERE, "gen_ai_token_type"],
            buckets=TOKENS,
            registry=registry,
        )
        self._duration = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "From the request to the end of the answer; error_type is empty where it came to its end.",
            [*_WHERE, "error_type"],
            buckets=SECONDS,
            registry=registry,
        )
        self._first = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "From the request to the first piece of the answer.",
            _WHERE,
            buckets=FIRST_SECONDS,
            registry=registry,
        )
        self._rate = Histogram(
            "parley_llm_tokens_per_second",
            "Tokens of an answer a second, from its first piece to its end.",
            _WHERE,
            buckets=RATES,
            registry=registry,
        )
        self._cached = Counter(
            "parley_llm_cached_tokens",
            "Input tokens that a provider had in its cache.",
            _WHERE,
            registry=registry,
        )
        self._cost = Counter(
            "parley_llm_cost_micros",
            "What calls have cost, by the prices of the catalogue.",
            _WHERE,
            registry=registry,
        )

    def observe(
        self,
        provider: str,
        model: str,
        *,
        took_s: float,
        first_s: float | None = None,
        usage: TokenUsage | None = None,
        error_type: str = "",
    ) -> None:
        """Count one call; `model` is its whole id."""
        name = model.removeprefix(f"{provider}/")
        where = (_CHAT, provider, name)
        self._duration.labels(*where, error_type).observe(took_s)
        if first_s is not None:
            self._first.labels(*where).observe(first_s)
        if usage is None or not usage.is_told:
            return
        self._tokens.labels(*where, "input").observe(usage.prompt_tokens)
        self._tokens.labels(*where, "output").observe(usage.completion_tokens)
        self._cached.labels(*where).inc(usage.cached_tokens)
        self._cost.labels(*where).inc(self._prices.cost_micros(model, usage))
        if first_s is not None and took_s > first_s and usage.completion_tokens:
            self._rate.labels(*where).observe(usage.completion_tokens / (took_s - first_s))


class MeteredModel:
    """A language model whose calls are counted."""

    def __init__(
        self, model: LanguageModel, meter: CallMeter, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model = model
        self._meter = meter
        self._clock = clock
        self._known: set[str] = set()

    @property
    def pool(self) -> str:
        return self._model.pool

    @property
    def can_continue(self) -> bool:
        return self._model.can_continue

    def serves(self, model_id: str) -> bool:
        return self._model.serves(model_id)

    async def models(self) -> tuple[ModelInfo, ...]:
        found = await self._model.models()
        self._known.update(info.id for info in found)
        return found

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        began_s = self._clock()
        first_s: float | None = None
        usage: TokenUsage | None = None
        error_type = OTHER
        try:
            async with aclosing(self._model.generate(job, written=written)) as chunks:
                async for chunk in chunks:
                    if first_s is None:
                        first_s = self._clock() - began_s
                    if type(chunk) is FinalChunk:
                        usage, error_type = chunk.usage, ""
                        # Who hears the end does not ask for more.
                        took_s = self._observe(job.model, began_s, first_s, usage, error_type)
                        yield replace(chunk, calls=_totals(took_s, first_s))
                        return
                    yield chunk
        except ParleyError as error:
            error_type = error.code.value
            raise
        except (GeneratorExit, asyncio.CancelledError):
            error_type = "cancelled"
            raise
        finally:
            if usage is None:
                self._observe(job.model, began_s, first_s, usage, error_type)

    def _observe(
        self, model: str, began_s: float, first_s: float | None, usage: TokenUsage | None, error_type: str
    ) -> float:
        """Count a call, and return what it took."""
        took_s = self._clock() - began_s
        # A call that ended well proves that the name is one.
        is_known = usage is not None or model in self._known or model == self.pool
        name = model if is_known else f"{self.pool}/{OTHER}"
        self._meter.observe(
            self.pool, name, took_s=took_s, first_s=first_s, usage=usage, error_type=error_type
        )
        return took_s


def _totals(took_s: float, first_s: float) -> CallTotals:
    return CallTotals(
        count=1,
        first_token_ms=round(first_s * 1000),
        writing_ms=round(max(0.0, took_s - first_s) * 1000),
    )
