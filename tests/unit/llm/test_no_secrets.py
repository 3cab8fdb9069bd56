"""No key, prompt, answer or word of a server is written anywhere but into its turn, whatever fails."""

import json
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.turn_events import GenerationFinished, known_event
from parley_contracts.turns import ChatMessage, TurnRef
from parley_llm.call_meter import CallMeter, MeteredModel
from parley_llm.catalogue import Catalogue
from parley_llm.generation import Generation
from parley_llm.language_model import Chunk, LanguageModel, TextChunk
from parley_llm.model_prices import ModelPrices
from parley_messaging.logs import JsonLines
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.message_headers import now_ms
from parley_messaging.stops import Stops
from parley_messaging.streams import TURN_EVENTS
from parley_messaging.turn_log import TurnLog
from parley_messaging.turn_writer import TurnWriters
from prometheus_client import CollectorRegistry, generate_latest

from tests.fakes.scripted_answers import QUICK_MODEL
from tests.unit.llm.backend_kinds import BACKEND_KINDS, BackendKind
from tests.unit.llm.jobs import job_for

KEY = "sk-planted-key-5d1f"
PROMPT = "planted-prompt-8c2e"
UPSTREAM = "planted-words-of-the-server-3b7a"
ANSWER = "c1w0"
SECRETS = (KEY, PROMPT, UPSTREAM, ANSWER, "CUDA", "not json")
MODELS = (
    QUICK_MODEL,
    "unknown",
    "error400",
    "error401",
    "error429",
    "error500",
    "error503",
    "error529",
    "cut_early",
    "cut",
    "unfinished",
    "malformed",
    "failing",
    "silent",
    "stall",
)


@dataclass
class Written:
    """What a process writes besides its turns."""

    lines: list[str] = field(default_factory=list[str])
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    errors: list[str] = field(default_factory=list[str])

    @property
    def all(self) -> str:
        """Logs, metrics and what clients are told of errors."""
        return "\n".join([*self.lines, generate_latest(self.registry).decode(), *self.errors])


@contextmanager
def logging_into(lines: list[str], *, shows_content: bool) -> Generator[None]:
    """Have all logs formatted as a service does, down to the least."""
    formatter = JsonLines("llm", "llm-1", shows_content=shows_content)

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    root, handler = logging.getLogger(), Kept()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@asynccontextmanager
async def a_desk() -> AsyncGenerator[tuple[MemoryBus, TurnWriters, Stops]]:
    bus = MemoryBus()
    writers, stops = TurnWriters(bus), Stops(bus)
    await writers.start()
    await stops.start()
    try:
        yield bus, writers, stops
    finally:
        await bus.close()


def secret_job(model_id: str) -> GenerateJob:
    turn = TurnRef(turn_id=uuid4().hex, client_turn_id="c1", owner_id="o1", home="h1")
    messages = (ChatMessage(role="system", content=PROMPT), ChatMessage(role="user", content=PROMPT))
    return job_for(model_id, PROMPT).model_copy(
        update={"turn": turn, "messages": messages, "deadline_ms": now_ms() + 30_000, "last_seq": 1_000_003}
    )


async def answer(
    desk: tuple[MemoryBus, TurnWriters, Stops], catalogue: Catalogue, model_id: str
) -> GenerationFinished:
    """Have a worker write one answer; return its end."""
    bus, writers, stops = desk
    job = secret_job(model_id)
    subject = subjects.turn_events("h1", job.turn.turn_id)
    generation = Generation(bus, job, catalogue, stops, window_ms=0)
    with stops.following(job.turn.turn_id):
        async with writers.open(subject, 3) as writer:
            await generation.write(writer, TurnLog(last_seq=job.last_seq), is_cancelled=False)
    last = await bus.last_stored(TURN_EVENTS, subject)
    assert last is not None
    finished = known_event(last.data)
    assert isinstance(finished, GenerationFinished)
    return finished


@pytest.mark.parametrize("kind", BACKEND_KINDS, ids=lambda kind: kind.pool)
async def test_nothing_secret_is_written_besides_the_turn(kind: BackendKind):
    written = Written()
    meter = CallMeter(written.registry, ModelPrices())
    with logging_into(written.lines, shows_content=False):
        async with (
            kind.open_fake() as fake,
            a_desk() as desk,
            kind.open_models(
                fake.url, api_key=KEY, first_token_s=0.2, gap_s=0.2, first_retry_s=0.01, retry_wait_s=1.0
            ) as models,
        ):
            fake.planted = UPSTREAM
            await models.models()
            catalogue = Catalogue([MeteredModel(models, meter)])
            ends = [await answer(desk, catalogue, kind.id_of(name)) for name in MODELS]
        written.errors += [str(end.error_message) for end in ends]

    assert ANSWER in ends[0].text
    assert [end.error_code is None for end in ends] == [True, *[False] * (len(MODELS) - 1)]
    assert len(fake.requests) >= len(MODELS)
    assert f'gen_ai_provider_name="{kind.pool}"' in written.all
    assert written.lines
    assert not [secret for secret in SECRETS if secret in written.all]


class Broken:
    """A model whose library quotes what it was given."""

    pool = "broken"
    can_continue = False

    def serves(self, model_id: str) -> bool:
        return model_id == "broken"

    async def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        del written
        yield TextChunk("some ")
        raise RuntimeError(f"cannot read {job.question} with {KEY[3:]}")


@pytest.mark.parametrize("shows_content", [False, True])
async def test_the_words_of_an_error_nobody_foresaw_are_content(shows_content: bool):
    lines: list[str] = []
    model: LanguageModel = Broken()
    with logging_into(lines, shows_content=shows_content):
        async with a_desk() as desk:
            end = await answer(desk, Catalogue([model]), "broken")

    told = [json.loads(line) for line in lines if "model failed" in line]
    assert [(line["fault"], "content" in line) for line in told] == [("RuntimeError", shows_content)]
    assert "generate" in told[0]["raised_at"][-1]
    assert (PROMPT in "".join(lines)) is shows_content
    assert PROMPT not in str(end.error_message)
