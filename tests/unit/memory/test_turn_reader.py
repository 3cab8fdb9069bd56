"""One turn is read back by its id, by its owner alone."""

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import DeleteConversation, ReadTurn, StoredTurn
from parley_contracts.turns import Support, TurnOutcome

from tests.unit.memory.stored_turns import (
    ALICE,
    BOB,
    Memory,
    citation,
    store_turn,
    store_user_message,
    turn_of,
)


def asked(number: int, *, owner_id: str = ALICE, of: str = ALICE) -> ReadTurn:
    return ReadTurn(owner_id=owner_id, turn_id=turn_of(number, of).turn_id)


async def refusal(memory: Memory, request: ReadTurn) -> ParleyError:
    with pytest.raises(ParleyError) as refused:
        await memory.handlers.read_turn(request)
    return refused.value


@pytest.mark.parametrize("outcome", TurnOutcome)
async def test_a_turn_is_read_back_with_its_end(memory: Memory, outcome: TurnOutcome) -> None:
    await memory.handlers.store_turn(store_turn(1))
    await memory.handlers.store_turn(
        store_turn(
            2,
            "c2",
            answer="an answer [1]",
            outcome=outcome,
            citations=(citation(),),
            support=Support.CITED,
        )
    )
    assert await memory.handlers.read_turn(asked(2)) == StoredTurn(
        conversation_id="c2",
        outcome=outcome,
        text="an answer [1]",
        citations=(citation(),),
        support=Support.CITED,
    )


async def test_a_turn_of_somebody_else_is_refused_as_one_that_does_not_exist(memory: Memory) -> None:
    await memory.handlers.store_turn(store_turn(1))
    foreign = await refusal(memory, asked(1, owner_id=BOB, of=ALICE))
    missing = await refusal(memory, asked(7))
    assert foreign.code is ErrorCode.NOT_FOUND
    assert foreign.body() == missing.body()


async def test_a_turn_without_an_answer_and_a_deleted_one_are_not_there(memory: Memory) -> None:
    await memory.handlers.store_user_message(store_user_message(1))
    assert (await refusal(memory, asked(1))).code is ErrorCode.NOT_FOUND
    await memory.handlers.store_turn(store_turn(2, "c2"))
    await memory.handlers.delete_conversation(DeleteConversation(owner_id=ALICE, conversation_id="c2"))
    assert (await refusal(memory, asked(2))).code is ErrorCode.NOT_FOUND
