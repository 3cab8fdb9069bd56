"""A language-model worker alone: answers of a backend, or of a provider's own package, into turns on a bus.

Each way writes the same events by the same writer, so that what differs is how the upstream is read.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import uvloop
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from parley_contracts import subjects
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turns import ChatMessage, TokenUsage, TurnRef
from parley_llm.backends.anthropic import AnthropicOptions, open_anthropic
from parley_llm.backends.ollama import OllamaOptions, open_ollama
from parley_llm.backends.openai_compatible import OpenAiOptions, open_openai
from parley_llm.catalogue import Catalogue
from parley_llm.generation import Generation
from parley_llm.language_model import Chunk, FinalChunk, LanguageModel, TextChunk
from parley_messaging.message_headers import now_ms
from parley_messaging.nats_bus import NatsBus
from parley_messaging.stops import Stops
from parley_messaging.turn_log import TurnLog
from parley_messaging.turn_writer import TurnWriters

from benchmarks.commands import serve_commands
from benchmarks.upstream import MODEL

HOME = "bench"
AFTER_S = 120


class PackagedModel:
    """Answers read by a provider's own package; `ask` opens a stream and yields its texts."""

    can_continue = False

    def __init__(self, pool: str, ask: Callable[[str], AsyncIterator[str]]) -> None:
        self.pool = pool
        self._ask = ask

    def serves(self, model_id: str) -> bool:
        return model_id.startswith(f"{self.pool}/")

    async def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        del written
        async for text in self._ask(job.question):
            yield TextChunk(text)
        yield FinalChunk(TokenUsage(prompt_tokens=1, completion_tokens=1), "stop")


def _openai_package(url: str) -> PackagedModel:
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-bench", max_retries=0)

    async def ask(question: str) -> AsyncIterator[str]:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question}], stream=True
        )
        async for part in stream:
            if part.choices and (text := part.choices[0].delta.content):
                yield text

    return PackagedModel("openai-package", ask)


def _anthropic_package(url: str) -> PackagedModel:
    client = AsyncAnthropic(base_url=url, api_key="sk-bench", max_retries=0)

    async def ask(question: str) -> AsyncIterator[str]:
        stream = await client.messages.create(
            model=MODEL, max_tokens=100_000, messages=[{"role": "user", "content": question}], stream=True
        )
        async for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text

    return PackagedModel("anthropic-package", ask)


def _job(pool: str, question: str) -> GenerateJob:
    turn = TurnRef(turn_id=uuid4().hex, client_turn_id=uuid4().hex, owner_id="bench", home=HOME)
    return GenerateJob(
        turn=turn,
        base_slot=1,
        last_seq=1_000_003,
        model=f"{pool}/{MODEL}",
        messages=(ChatMessage(role="user", content=question),),
        question=question,
        deadline_ms=now_ms() + AFTER_S * 1000,
    )


@asynccontextmanager
async def opened_models(url: str) -> AsyncGenerator[Catalogue]:
    """Open every way to the upstream."""
    async with AsyncExitStack() as stack:
        served = [
            await stack.enter_async_context(open_ollama(OllamaOptions(url=url))),
            await stack.enter_async_context(open_openai(OpenAiOptions(url=f"{url}/v1"))),
            await stack.enter_async_context(open_anthropic(AnthropicOptions(url=url))),
        ]
        for one in served:
            if not await one.models():
                raise RuntimeError(f"{one.pool} has no models at the upstream")
        models: list[LanguageModel] = [*served, _openai_package(url), _anthropic_package(url)]
        yield Catalogue(models)


async def serve() -> None:
    """Answer commands until stdin ends."""
    bus = NatsBus(os.environ["BENCH_NATS_URL"], name="delta-worker", grace_s=2)
    await bus.connect()
    await bus.start()
    writers, stops = TurnWriters(bus), Stops(bus)
    await writers.start()
    await stops.start()

    async with opened_models(os.environ["BENCH_UPSTREAM_URL"]) as catalogue, asyncio.TaskGroup() as tasks:
        loops = [tasks.create_task(writers.run()), tasks.create_task(stops.run())]

        async def one(pool: str, question: str) -> int:
            job = _job(pool, question)
            generation = Generation(bus, job, catalogue, stops, window_ms=0)
            subject = subjects.turn_events(HOME, job.turn.turn_id)
            with stops.following(job.turn.turn_id):
                async with writers.open(subject, 3) as writer:
                    await generation.write(writer, TurnLog(last_seq=job.last_seq), is_cancelled=False)
                    return writer.seq % 1_000_000

        async def write(pool: str, question: str, streams: int) -> dict[str, Any]:
            """Write so many answers at once; return the CPU time of this process and the events written."""
            began_s = time.process_time()
            async with asyncio.TaskGroup() as answers:
                running = [answers.create_task(one(pool, question)) for _ in range(streams)]
            return {
                "cpu_s": time.process_time() - began_s,
                "events": sum(answer.result() for answer in running),
            }

        try:
            await serve_commands({"write": write}, greeting={"pools": list(catalogue.pools)})
        finally:
            for loop in loops:
                loop.cancel()
    await bus.close()


def main() -> None:
    uvloop.run(serve())


if __name__ == "__main__":
    main()
