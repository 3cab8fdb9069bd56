"""Parts that hang cost the first turns their budget, and the turns after those nothing."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.memory import Stored, StoreTurn, StoreUserMessage
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import Search, SearchResults
from parley_contracts.turn_events import LOG_EVENT, TurnCompleted
from parley_contracts.turns import StartTurn, TurnOutcome, TurnRef
from parley_gateway.gathering import Gathering
from parley_gateway.question_keeper import QuestionKeeper
from parley_gateway.settings import GatewaySettings
from parley_gateway.turn_ending import Sealing, TurnEnding, new_seal
from parley_messaging.circuit import FAILURES, Circuit, Circuits, CircuitState
from parley_messaging.memory_bus import MemoryBus
from parley_messaging.message_headers import now_ms
from parley_messaging.pen import Pen
from parley_messaging.streams import TURN_EVENTS
from parley_messaging.turn_writer import TurnWriters

WAIT_S = 5.0


@pytest.fixture
async def bus() -> AsyncGenerator[MemoryBus]:
    made = MemoryBus()
    yield made
    await made.close()


def command() -> StartTurn:
    turn_id = uuid4().hex
    return StartTurn(
        turn=TurnRef(turn_id=turn_id, client_turn_id=turn_id, owner_id="owner", home="home"),
        conversation_id="conversation",
        continues_conversation=False,
        text="Who hangs?",
        accepted_at_ms=now_ms(),
        deadline_ms=now_ms() + 60_000,
    )


def opened(name: str) -> Circuit:
    """Return a circuit that has seen too many calls wait in vain."""
    circuit = Circuit(name)
    for _ in range(FAILURES):
        circuit._judge(is_alive=False, is_probe=False)  # pyright: ignore[reportPrivateUsage] - waiting would take seconds
    assert circuit.state is CircuitState.OPEN
    return circuit


async def test_a_part_that_hangs_is_left_out_at_once_after_a_few_turns(bus: MemoryBus) -> None:
    asked, forever = 0, asyncio.Event()

    async def hang(_: Embed) -> Embeddings:
        nonlocal asked
        asked += 1
        await forever.wait()
        raise AssertionError

    async def search(_: Search) -> SearchResults:
        return SearchResults(results=())

    bus.answer(subjects.NPU_EMBED, Embed, hang)
    bus.answer(subjects.RAG_SEARCH, Search, search)
    circuits = Circuits()
    gathering = Gathering(bus, GatewaySettings(gateway_embed_s=0.05), circuits)
    gathered = [await gathering.gather(command(), history_chars=100) for _ in range(FAILURES + 3)]
    assert all(found.degraded == {"npu"} for found in gathered)
    assert asked == FAILURES
    assert all(found.took_ms["npu"] < 25 for found in gathered[FAILURES:])
    assert circuits.states == {"npu": "open", "rag": "closed"}


async def test_a_part_that_is_away_is_asked_by_every_turn(bus: MemoryBus) -> None:
    circuits = Circuits()
    gathering = Gathering(bus, GatewaySettings(), circuits)
    for _ in range(FAILURES * 2):
        assert (await gathering.gather(command(), history_chars=100)).degraded == {"npu", "rag"}
    assert circuits.states == {"npu": "closed", "rag": "closed"}


async def test_while_memory_hangs_a_turn_is_pending_without_waiting_for_it(bus: MemoryBus) -> None:
    asked = 0

    async def store(_: StoreTurn) -> Stored:
        nonlocal asked
        asked += 1
        return Stored(is_new=True)

    bus.answer(subjects.MEMORY_STORE_TURN, StoreTurn, store)
    writers = TurnWriters(bus)
    await writers.start()
    ending = TurnEnding(bus, Pen(bus), writers, opened("memory-store"))
    ended = command()
    seal = new_seal(ended, TurnOutcome.COMPLETED, text="An answer.", citations=(), last_seq=0)
    assert await ending.seal(1, seal) is Sealing.NOT_STORED
    assert asked == 0
    found = await bus.last_stored(TURN_EVENTS, subjects.turn_events("home", ended.turn.turn_id))
    assert found is not None
    event = LOG_EVENT.validate_json(found.data)
    assert isinstance(event, TurnCompleted)
    assert event.stored == "pending"


async def test_questions_are_let_go_while_memory_hangs(bus: MemoryBus) -> None:
    asked = asyncio.Event()

    async def store(_: StoreUserMessage) -> Stored:
        asked.set()
        return Stored(is_new=True)

    bus.answer(subjects.MEMORY_STORE_USER_MESSAGE, StoreUserMessage, store)
    circuit = opened("memory-store")
    questions = QuestionKeeper(bus, circuit)
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(questions.run())
        with questions.keeping(command()):
            async with asyncio.timeout(WAIT_S):
                while not circuit.skipped:  # noqa: ASYNC110 - the keeper tells nobody that it has let one go
                    await asyncio.sleep(0.005)
        keeping.cancel()
    assert not asked.is_set()
