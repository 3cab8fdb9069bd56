"""Questions of turns that run are stored soon; those of turns that are done already are not stored again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

from parley_contracts import subjects
from parley_contracts.memory import Stored, StoreUserMessage
from parley_contracts.turns import StartTurn, TurnRef
from parley_gateway.question_keeper import QuestionKeeper
from parley_messaging.circuit import Circuit
from parley_messaging.memory_bus import MemoryBus

WAIT_S = 5.0


def question(text: str) -> StartTurn:
    return StartTurn(
        turn=TurnRef(turn_id=uuid4().hex, client_turn_id="c1", owner_id="o1", home="home"),
        conversation_id="conversation",
        continues_conversation=False,
        text=text,
        accepted_at_ms=1,
        deadline_ms=2,
    )


@asynccontextmanager
async def keeping() -> AsyncGenerator[tuple[QuestionKeeper, "asyncio.Queue[str]"]]:
    bus, stored = MemoryBus(), asyncio.Queue[str]()

    async def store(request: StoreUserMessage) -> Stored:
        stored.put_nowait(request.text)
        return Stored(is_new=True)

    bus.answer(subjects.MEMORY_STORE_USER_MESSAGE, StoreUserMessage, store)
    await bus.start()
    questions = QuestionKeeper(bus, Circuit("memory-store"))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(questions.run())
        yield questions, stored
        running.cancel()
    await bus.close()


async def test_the_question_of_a_turn_that_runs_is_stored_and_that_of_one_that_is_done_is_not() -> None:
    async with keeping() as (questions, stored), asyncio.timeout(WAIT_S):
        with questions.keeping(question("done")):
            pass
        with questions.keeping(question("runs")):
            # They are looked at in order: the first was passed over when the second is stored.
            assert await stored.get() == "runs"
    assert stored.empty()


async def test_a_turn_that_is_not_to_be_stored_is_left_alone() -> None:
    async with keeping() as (questions, stored), asyncio.timeout(WAIT_S):
        private = question("private").model_copy(update={"is_stored": False})
        with questions.keeping(private), questions.keeping(question("runs")):
            assert await stored.get() == "runs"
    assert stored.empty()
