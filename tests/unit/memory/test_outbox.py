"""The bus is told of every stored turn at least once, and no store waits for it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from parley_contracts import subjects
from parley_contracts.turns import TurnOutcome
from parley_memory.tables import outbox
from sqlalchemy import URL, func, select

from tests.unit.memory.stored_turns import ALICE, Memory, RecordingBus, open_memory, store_turn

WAIT_S = 10


@asynccontextmanager
async def publishing(memory: Memory) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(memory.outbox.run())
        yield
        task.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110 - the condition is another task's, behind a database
            await asyncio.sleep(0.005)


async def waiting_events(memory: Memory) -> int:
    query = select(func.count()).select_from(outbox)
    return await memory.database.read(lambda connection: connection.execute(query).scalar_one())


async def test_a_stored_turn_is_published_once_it_is_stored(memory: Memory) -> None:
    async with publishing(memory):
        await memory.handlers.store_turn(store_turn(1, outcome=TurnOutcome.CANCELLED))
        await until(lambda: len(memory.bus.published) == 1)
        await memory.handlers.store_turn(store_turn(2))
        await memory.handlers.store_turn(store_turn(1, outcome=TurnOutcome.CANCELLED))
        await until(lambda: len(memory.bus.published) == 2)

    subject, event, message_id = memory.bus.published[0]
    assert subject == subjects.CONVERSATION_TURN_COMPLETED
    assert message_id == f"{ALICE}-0001:stored"
    assert (event.owner_id, event.conversation_id, event.turn_id) == (ALICE, "c1", f"{ALICE}-0001")
    assert event.outcome is TurnOutcome.CANCELLED
    assert memory.bus.published[1][2] == f"{ALICE}-0002:stored"


async def test_what_a_dead_process_left_unpublished_is_published_by_the_next(url: URL) -> None:
    async with open_memory(url) as died:
        await died.handlers.store_turn(store_turn(1))
        await died.handlers.store_turn(store_turn(2, "c2"))
        assert died.bus.published == []

    async with open_memory(url) as risen, publishing(risen):
        await until(lambda: risen.registry.get_sample_value("parley_memory_events_published_total") == 2)
        assert len(risen.bus.published) == 2

    async with open_memory(url) as memory:
        assert await waiting_events(memory) == 0


async def test_a_refused_event_is_published_later_and_the_store_does_not_wait(url: URL) -> None:
    async with open_memory(url, RecordingBus(frozenset({1, 2, 3}))) as memory, publishing(memory):
        assert (await memory.handlers.store_turn(store_turn(1))).is_new
        await until(lambda: len(memory.bus.published) == 1)

    assert memory.bus.attempts == 4


async def test_events_published_before_a_refusal_are_not_published_again(url: URL) -> None:
    bus = RecordingBus(frozenset({2}))
    async with open_memory(url, bus) as memory:
        for number in (1, 2, 3):
            await memory.handlers.store_turn(store_turn(number))
        with pytest.raises(ConnectionError):
            await memory.outbox.drain()
        await memory.outbox.drain()

        ids = [message_id for _, _, message_id in bus.published]
        assert ids == [f"{ALICE}-{number:04}:stored" for number in (1, 2, 3)]
        assert await waiting_events(memory) == 0


async def test_more_events_than_one_batch_are_all_published(memory: Memory) -> None:
    for number in range(1, 106):
        await memory.handlers.store_turn(store_turn(number, f"c{number}"))

    await memory.outbox.drain()

    assert len({message_id for _, _, message_id in memory.bus.published}) == 105
    assert await waiting_events(memory) == 0
