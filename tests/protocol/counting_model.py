"""A model that never writes the same text twice, so that a mixture of two answers shows."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import TokenUsage
from parley_llm.language_model import Chunk, FinalChunk, TextChunk, ToolCallChunk

from tests.authorship import WrittenWord, authorship_fault

POOL = "extractive"
PIECES = 4
GAP_S = 0.2
MARK = "\N{LOWER LEFT BALLPOINT PEN}\U0001f58b "
_PIECE = re.compile(rf"\w+-(\d+)\.(\d+){MARK}")


@dataclass
class CountingModel:
    """Each piece names its call; a piece ends with a space and holds a character outside the BMP."""

    on_call: Callable[[GenerateJob], None]
    can_continue: bool = False
    gap_s: float = GAP_S
    pool: str = POOL
    calls: list[str] = field(default_factory=list[str])
    prefixes: dict[int, str] = field(default_factory=dict[int, str])

    def serves(self, model_id: str) -> bool:
        return model_id == POOL

    async def models(self) -> tuple[ModelInfo, ...]:
        return (ModelInfo(id=POOL, pool=POOL, context_tokens=4096, owned_by="test"),)

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        self.on_call(job)
        # What is aborted before it has written is no second answer.
        await asyncio.sleep(self.gap_s)
        self.calls.append(job.turn.turn_id)
        call = len(self.calls)
        before = job.kept_text + written
        self.prefixes[call] = before
        calls_tools = bool(job.tools) and not any(message.tool_calls for message in job.messages)
        for number in range(before.count(" "), PIECES // 2 if calls_tools else PIECES):
            if number > before.count(" "):
                await asyncio.sleep(self.gap_s)
            yield TextChunk(f"{job.question}-{call}.{number}{MARK}")
        usage = TokenUsage(prompt_tokens=1, completion_tokens=PIECES)
        if calls_tools:
            for index, spec in enumerate(job.tools):
                yield ToolCallChunk(index, f"{spec.name}-{call}", spec.name, "{}")
            yield FinalChunk(usage, "tool_calls")
            return
        yield FinalChunk(usage, "stop")

    def fault_of(self, text: str, *, is_whole: bool) -> str | None:
        """Say why a text is no answer of this model, or no beginning of one."""
        words = [WrittenWord(int(one[1]), int(one[2]), one[0]) for one in _PIECE.finditer(text)]
        if "".join(word.text for word in words) != text:
            return "not whole pieces"
        if is_whole and len(words) != PIECES:
            return f"{len(words)} of {PIECES} pieces"
        return authorship_fault(words, self.prefixes)
