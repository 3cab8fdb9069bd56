"""Turns are stored exactly once, whole, whatever their outcome."""

import asyncio

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import ListConversations, ReadConversation, RenameConversation, Stored, StoreTurn
from parley_contracts.turns import Support, TurnOutcome
from parley_memory.tables import conversations, messages, outbox
from sqlalchemy import URL, Connection, func, select

from tests.unit.memory.stored_turns import (
    ALICE,
    Memory,
    citation,
    open_memory,
    store_turn,
    store_user_message,
    turn_of,
)


async def title_of_c1(memory: Memory) -> str:
    request = ReadConversation(owner_id=ALICE, conversation_id="c1")
    return (await memory.handlers.read_conversation(request)).conversation.title


def rows_of_tables(connection: Connection) -> tuple[int, ...]:
    tables = (conversations, messages, outbox)
    return tuple(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)


async def test_a_turn_is_read_back_as_it_was_stored(memory: Memory) -> None:
    stored = await memory.handlers.store_turn(store_turn(1, citations=(citation(),), support=Support.CITED))

    assert stored.is_new
    question, answer = await memory.messages("c1")
    assert (question.role, question.text, question.created_at_ms) == ("user", "question 1", 1000)
    assert (question.turn_id, question.outcome, question.citations) == ("turn-1", None, ())
    assert (answer.role, answer.text, answer.created_at_ms) == ("assistant", "answer 1", 1500)
    assert (answer.turn_id, answer.outcome, answer.model) == ("turn-1", TurnOutcome.COMPLETED, "extractive")
    assert (answer.citations, answer.support) == ((citation(),), Support.CITED)


async def test_a_repeated_store_changes_nothing_and_says_so(memory: Memory) -> None:
    assert (await memory.handlers.store_user_message(store_user_message(1))).is_new
    assert not (await memory.handlers.store_user_message(store_user_message(1, text="other"))).is_new
    assert (await memory.handlers.store_turn(store_turn(1))).is_new
    assert not (await memory.handlers.store_turn(store_turn(1, answer="other"))).is_new
    assert not (await memory.handlers.store_user_message(store_user_message(1))).is_new

    assert [message.text for message in await memory.messages("c1")] == ["question 1", "answer 1"]
    page = await memory.handlers.list_conversations(ListConversations(owner_id=ALICE))
    assert [found.turns for found in page.conversations] == [1]
    assert memory.registry.get_sample_value(
        "parley_memory_stores_total", {"kind": "turn", "result": "new"}
    ) == pytest.approx(1)


async def test_fifty_concurrent_repeats_over_two_services_store_one_pair(url: URL) -> None:
    async def store(memory: Memory) -> Stored:
        while True:
            try:
                return await memory.handlers.store_turn(store_turn(1))
            except ParleyError as error:
                # A busy machine is overloaded by so many: who asks asks again.
                if error.code is not ErrorCode.OVERLOADED:
                    raise

    async with open_memory(url) as one, open_memory(url) as other, asyncio.TaskGroup() as group:
        tasks = [group.create_task(store((one, other)[number % 2])) for number in range(50)]
    assert sum(task.result().is_new for task in tasks) == 1
    async with open_memory(url) as memory:
        assert await memory.database.read(rows_of_tables) == (1, 2, 1)
        page = await memory.handlers.list_conversations(ListConversations(owner_id=ALICE))
        assert [found.turns for found in page.conversations] == [1]


async def test_concurrent_turns_of_one_conversation_are_all_counted(url: URL) -> None:
    async with open_memory(url) as one, open_memory(url) as other, asyncio.TaskGroup() as group:
        for number in range(1, 21):
            group.create_task((one, other)[number % 2].handlers.store_turn(store_turn(number)))
            group.create_task(
                (other, one)[number % 2].handlers.store_user_message(store_user_message(number))
            )
    async with open_memory(url) as memory:
        page = await memory.handlers.list_conversations(ListConversations(owner_id=ALICE))
        assert [(found.turns, found.title) for found in page.conversations] == [(20, "question 1")]
        assert len(await memory.messages("c1")) == 40


@pytest.mark.parametrize("outcome", [TurnOutcome.CANCELLED, TurnOutcome.FAILED])
@pytest.mark.parametrize("text", ["the text so far", ""])
async def test_a_turn_that_did_not_complete_keeps_what_was_written(
    memory: Memory, outcome: TurnOutcome, text: str
) -> None:
    await memory.handlers.store_turn(store_turn(1, outcome=outcome, answer=text))

    question, answer = await memory.messages("c1")
    assert question.text == "question 1"
    assert (answer.outcome, answer.text) == (outcome, text)


async def test_messages_stand_in_the_order_in_which_their_turns_began(memory: Memory) -> None:
    await memory.handlers.store_user_message(store_user_message(2))
    await memory.handlers.store_turn(store_turn(3))
    await memory.handlers.store_turn(store_turn(1))
    await memory.handlers.store_turn(store_turn(4, began_ms=3000))
    await memory.handlers.store_turn(store_turn(2, began_ms=9000))

    assert [message.text for message in await memory.messages("c1")] == [
        f"{part} {number}" for number in (1, 2, 3, 4) for part in ("question", "answer")
    ]


async def test_the_title_follows_the_earliest_question_until_one_is_given(memory: Memory) -> None:
    await memory.handlers.store_turn(store_turn(3, question="the third"))
    await memory.handlers.store_turn(store_turn(2, question="the second"))
    assert await title_of_c1(memory) == "the second"

    await memory.handlers.rename_conversation(
        RenameConversation(owner_id=ALICE, conversation_id="c1", title="Mine")
    )
    await memory.handlers.store_turn(store_turn(1, question="the first"))
    assert await title_of_c1(memory) == "Mine"


async def test_a_null_character_loses_no_turn(memory: Memory) -> None:
    request = store_turn(1, question="a\x00b", answer="c\x00d", citations=(citation("e\x00f"),))
    assert (await memory.handlers.store_turn(request)).is_new

    question, answer = await memory.messages("c1")
    assert (question.text, answer.text) == ("a\ufffdb", "c\ufffdd")
    assert answer.citations[0].text == "e\x00f"


@pytest.mark.parametrize(
    ("refused", "code", "field"),
    [
        (store_turn(1, "x" * 129), ErrorCode.INVALID_REQUEST, "conversation_id"),
        (store_turn(1, ""), ErrorCode.INVALID_REQUEST, "conversation_id"),
        (store_turn(1, is_stored=False), ErrorCode.INVALID_REQUEST, "seal.is_stored"),
        (store_turn(2, "elsewhere"), ErrorCode.CONFLICT, "conversation_id"),
    ],
)
async def test_a_turn_that_cannot_be_kept_is_refused_and_leaves_nothing(
    memory: Memory, refused: StoreTurn, code: ErrorCode, field: str
) -> None:
    await memory.handlers.store_turn(store_turn(2))

    with pytest.raises(ParleyError) as told:
        await memory.handlers.store_turn(refused)

    assert (told.value.code, told.value.field, told.value.retryable) == (code, field, False)
    page = await memory.handlers.list_conversations(ListConversations(owner_id=ALICE))
    assert [found.id for found in page.conversations] == ["c1"]


async def test_an_answer_does_not_follow_a_question_into_another_conversation(memory: Memory) -> None:
    await memory.handlers.store_user_message(store_user_message(1))

    with pytest.raises(ParleyError) as told:
        await memory.handlers.store_turn(store_turn(1, "elsewhere"))

    assert told.value.code is ErrorCode.CONFLICT
    assert [message.text for message in await memory.messages("c1")] == ["question 1"]


@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_turn_id_that_is_another_owners_is_not_found(memory: Memory, is_answered: bool) -> None:
    await memory.handlers.store_user_message(store_user_message(1))
    if is_answered:
        await memory.handlers.store_turn(store_turn(1))
    foreign = store_turn(1, "c2", "bob")
    stolen = foreign.seal.turn.model_copy(update={"turn_id": turn_of(1).turn_id})
    request = foreign.model_copy(update={"seal": foreign.seal.model_copy(update={"turn": stolen})})

    with pytest.raises(ParleyError) as told:
        await memory.handlers.store_turn(request)

    assert told.value.code is ErrorCode.NOT_FOUND
