"""A model that never writes the same text twice, so that a mixture of two answers shows."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import TokenUsage
from parley_llm.language_model import Chunk, FinalChunk, TextChunk

POOL = "extractive"
PIECES = 4
GAP_S = 0.2


@dataclass
class CountingModel:
    """Each piece names its call; a piece ends with a space and holds a character outside the BMP."""

    on_call: Callable[[GenerateJob], None]
    can_continue: bool = False
    gap_s: float = GAP_S
    pool: str = POOL
    calls: list[str] = field(default_factory=list[str])

    def serves(self, model_id: str) -> bool:
        return model_id == POOL

    async def models(self) -> tuple[ModelInfo, ...]:
        return (ModelInfo(id=POOL, pool=POOL, context_tokens=4096, owned_by="test"),)

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        self.on_call(job)
        self.calls.append(job.turn.turn_id)
        call = len(self.calls)
        for number in range(written.count(" "), PIECES):
            await asyncio.sleep(self.gap_s)
            yield TextChunk(f"{job.question}-{call}.{number}\N{LOWER LEFT BALLPOINT PEN}\U0001f58b ")
        yield FinalChunk(TokenUsage(prompt_tokens=1, completion_tokens=PIECES), "stop")
