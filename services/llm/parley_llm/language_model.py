"""What every language model offers, and the chunks it writes an answer in."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import CallTotals, TokenUsage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]

Logprobs = tuple[dict[str, Any], ...]
"""What a server tells of each token of a text, in OpenAI's words."""


@dataclass(frozen=True, slots=True)
class TextChunk:
    """The next piece of the answer; never empty."""

    text: str
    logprobs: Logprobs | None = None


@dataclass(frozen=True, slots=True)
class ReasoningChunk:
    """The next piece of what the model thinks before it answers; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallChunk:
    """A piece of a tool call: the first of each index has its id and name, and `arguments` are appended."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class FinalChunk:
    """The end of the answer: what this call cost, why it ends, and what was measured of it, if it was.

    Attributes:
        is_repeatable: The same question may be answered so again: all that it names was there.
    """

    usage: TokenUsage
    finish_reason: FinishReason
    calls: CallTotals | None = None
    is_repeatable: bool = True


Piece = TextChunk | ReasoningChunk | ToolCallChunk
"""What an answer is made of."""

Chunk = Piece | FinalChunk


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
        """Write the answer of `job`: its pieces in order, then exactly one final chunk.

        `written` is what an earlier worker already wrote; only what follows it is yielded. Closing the
        generator, or cancelling the task that waits for it, aborts the upstream call at once.

        Raises ParleyError: model_not_found, upstream_failed, unavailable or timeout.
        """
        ...
