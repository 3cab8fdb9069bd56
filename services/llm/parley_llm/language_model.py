"""What every language model offers, and the chunks it writes an answer in."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol

from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import TokenUsage

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class TextChunk:
    """The next piece of the answer; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class FinalChunk:
    """The end of the answer: what this call cost, and whether a limit cut it."""

    usage: TokenUsage
    finish_reason: FinishReason


Chunk = TextChunk | FinalChunk


class LanguageModel(Protocol):
    """A source of answers. One object may serve several models of one worker pool."""

    @property
    def pool(self) -> str:
        """The worker pool whose jobs it takes; a token of the job's subject."""
        ...

    @property
    def can_continue(self) -> bool:
        """Whether `generate` goes on after `written` instead of answering anew."""
        ...

    def serves(self, model_id: str) -> bool:
        """Whether a model of that id would be one of this object's, reachable or not."""
        ...

    async def models(self) -> tuple[ModelInfo, ...]:
        """Return the models reachable now, the preferred first; empty when away. Never raises."""
        ...

    def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        """Write the answer of `job`: text chunks, then exactly one final chunk.

        `written` is what an earlier worker already wrote; only what follows it is yielded. Closing the
        generator, or cancelling the task that waits for it, aborts the upstream call at once.

        Raises ParleyError: model_not_found, upstream_failed, unavailable or timeout.
        """
        ...
