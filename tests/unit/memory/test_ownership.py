"""Another owner's conversation, a deleted one and one that never was cannot be told apart."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from parley_contracts.errors import ErrorBody, ErrorCode, ParleyError
from parley_contracts.memory import (
    DeleteConversation,
    ListConversations,
    ReadConversation,
    ReadHistory,
    RenameConversation,
)
from parley_contracts.model import WireModel
from parley_contracts.replies import Done
from parley_memory.handlers import MemoryHandlers
from parley_memory.tables import conversations, messages
from sqlalchemy import Connection, select

from tests.unit.memory.stored_turns import ALICE, BOB, Memory, store_turn, store_user_message

Ask = Callable[[MemoryHandlers, str], Awaitable[WireModel]]

ON_AN_EXISTING_ONE: dict[str, Ask] = {
    "read_history": lambda handlers, conversation_id: handlers.read_history(
        ReadHistory(owner_id=BOB, conversation_id=conversation_id)
    ),
    "read_conversation": lambda handlers, conversation_id: handlers.read_conversation(
        ReadConversation(owner_id=BOB, conversation_id=conversation_id)
    ),
    "rename_conversation": lambda handlers, conversation_id: handlers.rename_conversation(
        RenameConversation(owner_id=BOB, conversation_id=conversation_id, title="taken")
    ),
    "delete_conversation": lambda handlers, conversation_id: handlers.delete_conversation(
        DeleteConversation(owner_id=BOB, conversation_id=conversation_id)
    ),
}
STORES: dict[str, Ask] = {
    "store_user_message": lambda handlers, conversation_id: handlers.store_user_message(
        store_user_message(7, conversation_id, BOB)
    ),
    "store_turn": lambda handlers, conversation_id: handlers.store_turn(store_turn(7, conversation_id, BOB)),
}


@pytest.fixture
async def memory_of_two(memory: Memory) -> Memory:
    """Alice has `hers`; Bob had `gone`."""
    await memory.handlers.store_turn(store_turn(1, "hers", ALICE))
    await memory.handlers.store_turn(store_turn(2, "gone", BOB))
    await memory.handlers.delete_conversation(DeleteConversation(owner_id=BOB, conversation_id="gone"))
    return memory


def owners_of_messages(connection: Connection) -> set[str]:
    return set(connection.execute(select(messages.c.owner_id)).scalars())


async def refusal(answer: Awaitable[WireModel]) -> ErrorBody:
    with pytest.raises(ParleyError) as told:
        await answer
    return told.value.body()


@pytest.mark.parametrize("ask", ON_AN_EXISTING_ONE.values(), ids=ON_AN_EXISTING_ONE.keys())
async def test_another_owners_id_is_answered_like_a_missing_one(memory_of_two: Memory, ask: Ask) -> None:
    missing = await refusal(ask(memory_of_two.handlers, "never was"))

    assert missing.code is ErrorCode.NOT_FOUND
    for conversation_id in ("hers", "gone", "x" * 5000, "nul\x00"):
        assert await refusal(ask(memory_of_two.handlers, conversation_id)) == missing
    assert [message.text for message in await memory_of_two.messages("hers")] == ["question 1", "answer 1"]


@pytest.mark.parametrize("store", STORES.values(), ids=STORES.keys())
async def test_nothing_is_stored_into_another_owners_or_a_deleted_conversation(
    memory_of_two: Memory, store: Ask
) -> None:
    missing = await refusal(ON_AN_EXISTING_ONE["read_conversation"](memory_of_two.handlers, "never was"))

    for conversation_id in ("hers", "gone"):
        assert await refusal(store(memory_of_two.handlers, conversation_id)) == missing
    assert await memory_of_two.database.read(owners_of_messages) == {ALICE}


async def test_a_turn_in_another_owners_name_is_not_found(memory: Memory) -> None:
    forged = store_turn(1).model_copy(update={"owner_id": BOB})
    forged_question = store_user_message(1).model_copy(update={"owner_id": BOB})

    assert (await refusal(memory.handlers.store_turn(forged))).code is ErrorCode.NOT_FOUND
    assert (await refusal(memory.handlers.store_user_message(forged_question))).code is ErrorCode.NOT_FOUND


async def test_a_list_shows_only_the_owners_conversations(memory_of_two: Memory) -> None:
    hers = await memory_of_two.handlers.list_conversations(ListConversations(owner_id=ALICE))
    his = await memory_of_two.handlers.list_conversations(ListConversations(owner_id=BOB))

    assert [found.id for found in hers.conversations] == ["hers"]
    assert his.conversations == ()


async def test_another_owners_turn_does_not_cut_a_history(memory_of_two: Memory) -> None:
    await memory_of_two.handlers.store_turn(store_turn(5, "his", BOB))
    request = ReadHistory(owner_id=BOB, conversation_id="his", before_turn_id=f"{ALICE}-0001")

    assert len((await memory_of_two.handlers.read_history(request)).messages) == 2


async def test_deleting_leaves_no_word_behind(memory_of_two: Memory) -> None:
    query = select(conversations).filter_by(id="gone")
    tombstone = await memory_of_two.database.read(lambda connection: connection.execute(query).one())

    assert await memory_of_two.database.read(owners_of_messages) == {ALICE}
    assert (tombstone.title, tombstone.owner_id, tombstone.turns) == ("", BOB, 0)
    assert tombstone.deleted_at_ms is not None


async def test_an_id_that_is_deleted_before_anything_is_stored_takes_nothing_afterwards(
    memory: Memory,
) -> None:
    deleted = DeleteConversation(owner_id=BOB, conversation_id="early", even_if_unknown=True)
    assert await memory.handlers.delete_conversation(deleted) == Done()
    late = await refusal(memory.handlers.store_turn(store_turn(3, "early", BOB)))
    assert late.code is ErrorCode.NOT_FOUND
    listed = await memory.handlers.list_conversations(ListConversations(owner_id=BOB))
    assert listed.conversations == ()


async def test_one_that_is_there_is_deleted_by_its_owner_alone_also_with_that(memory_of_two: Memory) -> None:
    handlers = memory_of_two.handlers
    of: dict[str, Any] = {"conversation_id": "hers", "even_if_unknown": True}
    taken = await refusal(handlers.delete_conversation(DeleteConversation(owner_id=BOB, **of)))
    assert taken.code is ErrorCode.NOT_FOUND
    await handlers.read_conversation(ReadConversation(owner_id=ALICE, conversation_id="hers"))
    await handlers.delete_conversation(DeleteConversation(owner_id=ALICE, **of))
    gone = await refusal(handlers.delete_conversation(DeleteConversation(owner_id=ALICE, **of)))
    assert gone.code is ErrorCode.NOT_FOUND
