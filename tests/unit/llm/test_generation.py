"""One answer in one epoch: how it begins, goes on and ends, whatever the model does."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_contracts.prices import Prices
from parley_contracts.turn_events import (
    ContextReady,
    EpochStarted,
    GenerationFinished,
    StageChanged,
    TextDelta,
    known_event,
)
from parley_contracts.turns import CallTotals, TokenUsage, TurnRef
from parley_llm.catalogue import Catalogue
from parley_llm.generation import Generation
from parley_llm.language_model import Chunk, FinalChunk, TextChunk
from parley_llm.model_prices import ModelPrices
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.message_headers import now_ms
from parley_messaging.stops import Stops
from parley_messaging.streams import TURN_EVENTS
from parley_messaging.turn_log import TurnLog
from parley_messaging.turn_writer import TurnWriters

from tests.unit.llm.jobs import job_for

HOME = "h1"
WAIT_S = 5.0


@dataclass
class Scripted:
    """A model that writes its pieces, then fails, waits or ends as the test says."""

    name: str = "scripted"
    pieces: tuple[str, ...] = ("one ", "two ", "three")
    error: Exception | None = None
    fails_after: int = 0
    waits_after: int | None = None
    can_continue: bool = True
    written: list[str] = field(default_factory=list[str])
    usage: TokenUsage = field(default_factory=lambda: TokenUsage(prompt_tokens=5, completion_tokens=3))
    was_aborted: bool = False
    has_waited: bool = False

    @property
    def pool(self) -> str:
        return self.name

    def serves(self, model_id: str) -> bool:
        return model_id == self.name

    async def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        self.written.append(written)
        rest = "".join(self.pieces).removeprefix(written)
        try:
            for number, piece in enumerate(piece for piece in self.pieces if piece in rest):
                if self.error and number == self.fails_after:
                    raise self.error
                if number == self.waits_after:
                    self.has_waited = True
                    await asyncio.Event().wait()
                yield TextChunk(piece)
            if self.error:
                raise self.error
        except (GeneratorExit, asyncio.CancelledError):
            self.was_aborted = True
            raise
        yield FinalChunk(self.usage, "stop")


class Desk:
    """Where one answer is written, and read back."""

    def __init__(self, bus: MemoryBus, writers: TurnWriters, stops: Stops, *models: Scripted) -> None:
        self.bus, self.writers, self.stops = bus, writers, stops
        self.catalogue = Catalogue(models)
        self.turn = TurnRef(turn_id=uuid4().hex, client_turn_id="c1", owner_id="o1", home=HOME)
        self.subject = subjects.turn_events(HOME, self.turn.turn_id)

    async def write(
        self,
        model: str = "scripted",
        *,
        standing: TurnLog | None = None,
        left_s: float = 60,
        window_ms: float = 0,
        last_seq: int = 1_000_003,
        **options: bool,
    ) -> None:
        deadline_ms = now_ms() + int(left_s * 1000)
        update = {"turn": self.turn, "deadline_ms": deadline_ms, "last_seq": last_seq}
        job = job_for(model).model_copy(update=update)
        generation = Generation(self.bus, job, self.catalogue, self.stops, window_ms=window_ms)
        options.setdefault("is_cancelled", False)
        with self.stops.following(self.turn.turn_id):
            async with asyncio.timeout(WAIT_S), self.writers.open(self.subject, 3) as writer:
                await generation.write(writer, standing or TurnLog(last_seq=last_seq), **options)

    async def events(self) -> list[object]:
        found: list[object] = []
        position = 1
        while stored := await self.bus.next_stored(TURN_EVENTS, self.subject, position):
            found.append(known_event(stored.data))
            position = stored.stream_seq + 1
        return found

    async def told(self) -> tuple[EpochStarted, str, GenerationFinished]:
        """Return how the answer began, what its deltas say, and how it ended."""
        opening, *deltas, ended = await self.events()
        assert isinstance(opening, EpochStarted)
        assert isinstance(ended, GenerationFinished)
        assert all(isinstance(event, TextDelta) for event in deltas)
        return opening, "".join(event.text for event in deltas if isinstance(event, TextDelta)), ended


@asynccontextmanager
async def writing(*models: Scripted) -> AsyncGenerator[Desk]:
    bus = MemoryBus()
    writers, stops = TurnWriters(bus), Stops(bus)
    await writers.start()
    await stops.start()
    try:
        yield Desk(bus, writers, stops, *models)
    finally:
        await bus.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110 - a model tells nobody that it was called
            await asyncio.sleep(0.005)


async def test_an_answer_is_written_from_its_opening_to_its_end() -> None:
    async with writing(Scripted()) as desk:
        await desk.write()
        opening, text, ended = await desk.told()
    assert (opening.seq, opening.follows, opening.keep_chars) == (3_000_000, 1_000_003, 0)
    assert text == ended.text == "one two three"
    assert (ended.finish_reason, ended.usage.completion_tokens, ended.degraded) == ("stop", 3, ())


@pytest.mark.parametrize(
    ("price", "cost_micros"),
    [('{"scripted": [1000000, 2000000]}', 11), ("{}", None)],
    ids=["priced", "unknown"],
)
async def test_an_answer_tells_what_it_cost_also_where_nobody_has_timed_its_call(
    price: str, cost_micros: int | None
) -> None:
    async with writing(Scripted()) as desk:
        desk.catalogue = Catalogue([Scripted()], prices=ModelPrices(Prices.parse(price)))
        await desk.write()
        _, _, ended = await desk.told()
    assert ended.calls == CallTotals(cost_micros=cost_micros)


@pytest.mark.parametrize("window_ms", [0, 5, 10_000])
async def test_deltas_and_the_whole_text_say_the_same(window_ms: float) -> None:
    async with writing(Scripted(pieces=tuple(f"{number} " for number in range(700)))) as desk:
        await desk.write(window_ms=window_ms)
        _, text, ended = await desk.told()
    assert text == ended.text == "".join(f"{number} " for number in range(700))


async def test_a_model_that_is_away_is_replaced_by_the_last_resort() -> None:
    away = Scripted(error=ParleyError(ErrorCode.UNAVAILABLE, "away"))
    last = Scripted(name="last", pieces=("a quote",))
    async with writing(away, last) as desk:
        await desk.write()
        _, text, ended = await desk.told()
    assert text == ended.text == "a quote"
    assert (ended.finish_reason, ended.degraded) == ("stop", ("model",))
    # It is counted and priced as who answered, not as who was asked.
    assert (ended.model, ended.usage.completion_tokens) == ("last", 3)


async def test_a_model_that_breaks_off_is_not_replaced_but_said_to_have_failed() -> None:
    broken = Scripted(error=ParleyError(ErrorCode.UNAVAILABLE, "gone"), fails_after=1)
    async with writing(broken, Scripted(name="last", pieces=("a quote",))) as desk:
        await desk.write()
        _, text, ended = await desk.told()
    assert text == ended.text == "one "
    assert (ended.finish_reason, ended.error_code) == ("error", ErrorCode.UNAVAILABLE)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            ParleyError(ErrorCode.UPSTREAM_FAILED, "The server said 500."),
            "upstream_failed",
            "The server said",
        ),
        (RuntimeError("password=hunter2"), "internal", "The model failed"),
    ],
)
async def test_a_failing_model_ends_the_answer_with_what_may_be_told(
    error: Exception, code: str, message: str
) -> None:
    async with writing(Scripted(error=error, fails_after=2)) as desk:
        await desk.write()
        _, text, ended = await desk.told()
    assert text == ended.text == "one two "
    assert (ended.finish_reason, ended.error_code) == ("error", code)
    assert (ended.error_message or "").startswith(message)


async def test_a_model_nobody_knows_ends_the_answer() -> None:
    async with writing(Scripted()) as desk:
        await desk.write("unheard-of")
        _, _, ended = await desk.told()
    assert (ended.finish_reason, ended.error_code) == ("error", ErrorCode.MODEL_NOT_FOUND)


async def test_past_the_deadline_the_model_is_aborted_and_what_it_wrote_is_kept() -> None:
    slow = Scripted(waits_after=2)
    async with writing(slow) as desk:
        await desk.write(left_s=0.1, window_ms=10_000)
        _, text, ended = await desk.told()
    assert slow.was_aborted
    assert text == ended.text == "one two "
    assert (ended.finish_reason, ended.error_code) == ("error", ErrorCode.TIMEOUT)


async def test_an_answer_whose_runner_wrote_nothing_begins_with_its_context() -> None:
    async with writing(Scripted()) as desk:
        await desk.write(last_seq=0)
        opening, context, stage, *_ = await desk.events()
        assert opening == EpochStarted(seq=3_000_000, follows=0, turn_id="c1", keep_chars=0)
        assert context == ContextReady(seq=3_000_001, turn_id="c1")
        assert stage == StageChanged(seq=3_000_002, turn_id="c1", stage="generating")


async def test_a_model_is_asked_before_the_log_is_opened_and_writes_behind_the_opening() -> None:
    stored_at_call: list[int] = []

    class Asked(Scripted):
        async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
            stored_at_call.append(len(await desk.events()))
            async for chunk in super().generate(job, written=written):
                yield chunk

    async with writing(Asked()) as desk:
        await desk.write(last_seq=0)
        events = await desk.events()
    assert stored_at_call == [0]
    assert [type(event) for event in events[:4]] == [EpochStarted, ContextReady, StageChanged, TextDelta]


async def test_a_context_that_an_earlier_worker_wrote_is_not_written_again() -> None:
    context = ContextReady(seq=2_000_001, turn_id="c1")
    standing = TurnLog(last_seq=2_000_003, parts=["one "], context=context)
    async with writing(Scripted()) as desk:
        await desk.write(last_seq=0, standing=standing)
        _, text, _ = await desk.told()
        assert text.startswith("two ")


async def test_a_stop_before_the_start_asks_no_model() -> None:
    model = Scripted()
    async with writing(model) as desk:
        await desk.write(is_cancelled=True)
        _, text, ended = await desk.told()
    assert (text, ended.text, ended.finish_reason, model.written) == ("", "", "cancelled", [])
    assert ended.usage == TokenUsage()


async def test_a_stop_aborts_the_model_and_keeps_what_it_wrote() -> None:
    model = Scripted(waits_after=2)
    async with writing(model) as desk:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.write(window_ms=10_000))
            await until(lambda: bool(model.written))
            await desk.bus.store(subjects.turn_cancel(desk.turn.turn_id), b"stop")
        _, text, ended = await desk.told()
    assert model.was_aborted
    assert text == ended.text
    assert ended.finish_reason == "cancelled"


async def test_an_answer_that_was_begun_goes_on_after_what_is_written() -> None:
    model = Scripted()
    standing = TurnLog(last_seq=2_000_002, parts=["one ", "two "])
    async with writing(model) as desk:
        await desk.write(standing=standing)
        opening, text, ended = await desk.told()
    assert model.written == ["one two "]
    assert (opening.follows, opening.keep_chars) == (2_000_002, len("one two "))
    assert (text, ended.text) == ("three", "one two three")


async def test_a_model_that_cannot_go_on_begins_anew_and_viewers_are_told() -> None:
    model = Scripted(can_continue=False)
    standing = TurnLog(last_seq=2_000_002, parts=["one ", "two "])
    async with writing(model) as desk:
        await desk.write(standing=standing)
        opening, text, ended = await desk.told()
    assert model.written == [""]
    assert (opening.follows, opening.keep_chars) == (2_000_002, 0)
    assert text == ended.text == "one two three"


async def test_an_answer_that_several_workers_died_of_is_given_up() -> None:
    model = Scripted()
    async with writing(model) as desk:
        await desk.write(standing=TurnLog(last_seq=9_000_002, parts=["one "]), is_given_up=True)
        opening, text, ended = await desk.told()
    assert model.written == []
    assert (opening.keep_chars, text, ended.text) == (len("one "), "", "one ")
    assert (ended.finish_reason, ended.error_code) == ("error", ErrorCode.INTERNAL)


PROMPT_TOKENS = TokenUsage.guessed(sum(len(one.content) for one in job_for("m").messages), 0).prompt_tokens


async def test_a_stop_just_before_the_end_costs_the_prompt_and_what_was_written() -> None:
    model = Scripted(pieces=("x" * 4000, "y" * 4000, "z"), waits_after=2)
    async with writing(model) as desk:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.write(window_ms=10_000))
            await until(lambda: model.has_waited)
            await desk.bus.store(subjects.turn_cancel(desk.turn.turn_id), b"stop")
        _, _, ended = await desk.told()
    assert ended.finish_reason == "cancelled"
    assert ended.usage == TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=2000)


async def test_a_stop_before_the_first_word_costs_the_prompt_that_the_model_has_read() -> None:
    model = Scripted(waits_after=0)
    async with writing(model) as desk:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.write())
            await until(lambda: model.has_waited)
            await desk.bus.store(subjects.turn_cancel(desk.turn.turn_id), b"stop")
        _, _, ended = await desk.told()
    assert (ended.finish_reason, ended.usage) == ("cancelled", TokenUsage(prompt_tokens=PROMPT_TOKENS))


@pytest.mark.parametrize(
    ("code", "fails_after", "usage"),
    [
        (ErrorCode.UPSTREAM_FAILED, 2, TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=2)),
        (ErrorCode.TIMEOUT, 0, TokenUsage(prompt_tokens=PROMPT_TOKENS)),
        (ErrorCode.UPSTREAM_FAILED, 0, TokenUsage()),
        (ErrorCode.UNAVAILABLE, 0, TokenUsage()),
    ],
    ids=["broken off", "silent", "refused", "away"],
)
async def test_a_model_that_fails_costs_what_it_has_done_and_nothing_when_it_refused(
    code: ErrorCode, fails_after: int, usage: TokenUsage
) -> None:
    async with writing(Scripted(error=ParleyError(code, "no"), fails_after=fails_after)) as desk:
        await desk.write()
        _, _, ended = await desk.told()
    assert (ended.finish_reason, ended.usage) == ("error", usage)


async def test_past_the_deadline_an_answer_costs_what_was_written() -> None:
    async with writing(Scripted(waits_after=2)) as desk:
        await desk.write(left_s=0.1)
        _, _, ended = await desk.told()
    assert ended.usage == TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=2)


@pytest.mark.parametrize("can_continue", [True, False], ids=["goes on", "begins anew"])
async def test_what_workers_wrote_that_are_gone_is_counted_when_the_answer_ends_early(
    *, can_continue: bool
) -> None:
    model, standing = Scripted(can_continue=can_continue), TurnLog(last_seq=2_000_002, parts=["x" * 400])
    async with writing(model) as desk:
        await desk.write(standing=standing, is_cancelled=True)
        _, _, ended = await desk.told()
    assert ended.usage == TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=100)


@pytest.mark.parametrize("can_continue", [True, False], ids=["goes on", "begins anew"])
async def test_what_a_worker_wrote_that_is_gone_is_counted_beside_what_the_model_tells(
    *, can_continue: bool
) -> None:
    model, standing = Scripted(can_continue=can_continue), TurnLog(last_seq=2_000_002, parts=["x" * 400])
    async with writing(model) as desk:
        await desk.write(standing=standing)
        _, _, ended = await desk.told()
    assert ended.finish_reason == "stop"
    gone = TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=100)
    assert ended.usage == model.usage + gone


async def test_a_server_that_tells_no_usage_does_not_answer_for_nothing() -> None:
    async with writing(Scripted(usage=TokenUsage())) as desk:
        await desk.write()
        _, _, ended = await desk.told()
    assert (ended.finish_reason, ended.usage.prompt_tokens) == ("stop", PROMPT_TOKENS)
    assert ended.usage.completion_tokens == TokenUsage.guessed(0, len("one two three")).completion_tokens
