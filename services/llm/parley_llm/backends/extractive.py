"""The model that is always there: it answers by quoting the passages of the job."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import GenerationParams, TokenUsage

from parley_llm.backends.extraction.answer import AnswerWriter
from parley_llm.language_model import Chunk, FinalChunk, FinishReason, TextChunk

MODEL_ID = "extractive"
CONTEXT_TOKENS = 32_768
WORDS_A_PIECE = 3
SEARCH_PART = "rag"

_PIECE = re.compile(rf"(?:\s*\S+){{1,{WORDS_A_PIECE}}}\s*")
_WORD = re.compile(r"\S+")


class ExtractiveModel:
    """Quotes the best sentences of a job's citations. Words stand in for tokens in its usage."""

    def __init__(self, *, delta_ms: float = 0) -> None:
        self._delta_s = delta_ms / 1000
        self._writer = AnswerWriter()

    @property
    def pool(self) -> str:
        return "extractive"

    @property
    def can_continue(self) -> bool:
        return True

    def serves(self, model_id: str) -> bool:
        return model_id == MODEL_ID

    async def models(self) -> tuple[ModelInfo, ...]:
        info = ModelInfo(id=MODEL_ID, pool=self.pool, context_tokens=CONTEXT_TOKENS, owned_by="parley")
        return (info,)

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        if job.params.response_format is not None:
            message = "The model extractive quotes sentences: it writes no JSON."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="response_format")
        # Ranking takes milliseconds of pure computing; in a thread it does not hold up other answers.
        answer = await asyncio.to_thread(
            self._writer.write, job.question, job.citations, were_searched=SEARCH_PART not in job.degraded
        )
        answer, finish_reason = _limited(answer, job.params)
        rest = _after(written, answer)
        for piece in _pieces(rest):
            if self._delta_s:
                await asyncio.sleep(self._delta_s)
            yield TextChunk(piece)
        prompt_words = sum(_count_words(message.content) for message in job.messages) + _count_words(written)
        usage = TokenUsage(prompt_tokens=prompt_words, completion_tokens=_count_words(rest))
        yield FinalChunk(usage, finish_reason)


def _limited(answer: str, params: GenerationParams) -> tuple[str, FinishReason]:
    """Return the answer up to the first stop string and the largest count of words."""
    stops = [place for stop in params.stop if stop and (place := answer.find(stop)) >= 0]
    answer = answer[: min(stops, default=len(answer))]
    most = params.max_tokens
    if most is None:
        return answer, "stop"
    ends = [word.end() for word in _WORD.finditer(answer)]
    return (answer[: ends[most - 1]], "length") if len(ends) > most else (answer, "stop")


def _after(written: str, answer: str) -> str:
    """Return what is left to write; the whole answer as a new paragraph when another one was begun."""
    if answer.startswith(written):
        return answer[len(written) :]
    return f"\n\n{answer}"


def _pieces(text: str) -> Iterator[str]:
    for match in _PIECE.finditer(text):
        yield match.group()


def _count_words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))
