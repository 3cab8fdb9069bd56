"""A history is whole turns, the latest that fit, oldest first."""

import pytest
from parley_contracts.memory import ReadHistory
from parley_contracts.turns import TurnOutcome

from tests.unit.memory.stored_turns import ALICE, Memory, store_turn, store_user_message, turn_of


async def history(memory: Memory, max_chars: int = 16_000, before: int | None = None) -> list[str]:
    request = ReadHistory(
        owner_id=ALICE,
        conversation_id="c1",
        max_chars=max_chars,
        before_turn_id=None if before is None else turn_of(before).turn_id,
    )
    found = (await memory.handlers.read_history(request)).messages
    assert [message.role for message in found] == ["user", "assistant"] * (len(found) // 2)
    return [message.content for message in found]


def pairs(*numbers: int) -> list[str]:
    return [text for number in numbers for text in (f"question {number}", f"answer {number}")]


async def test_turns_are_told_oldest_first(memory: Memory) -> None:
    for number in range(1, 41):
        await memory.handlers.store_turn(store_turn(number))

    assert await history(memory) == pairs(*range(1, 41))


@pytest.mark.parametrize(("max_chars", "kept"), [(1, ()), (17, ()), (18, (3,)), (35, (3,)), (36, (2, 3))])
async def test_the_latest_whole_turns_that_fit_are_kept(
    memory: Memory, max_chars: int, kept: tuple[int, ...]
) -> None:
    for number in (1, 2, 3):
        await memory.handlers.store_turn(store_turn(number))

    assert await history(memory, max_chars) == pairs(*kept)


async def test_size_is_counted_in_code_points(memory: Memory) -> None:
    await memory.handlers.store_turn(store_turn(1, question="𝄞" * 5, answer="ä" * 5))

    assert await history(memory, 10) == ["𝄞" * 5, "ä" * 5]
    assert await history(memory, 9) == []


async def test_a_turn_that_does_not_fit_hides_those_before_it(memory: Memory) -> None:
    await memory.handlers.store_turn(store_turn(1))
    await memory.handlers.store_turn(store_turn(2, answer="long " * 100))
    await memory.handlers.store_turn(store_turn(3))

    assert await history(memory, 100) == pairs(3)


async def test_only_answered_turns_are_told(memory: Memory) -> None:
    await memory.handlers.store_turn(store_turn(1, outcome=TurnOutcome.FAILED))
    await memory.handlers.store_turn(store_turn(2, outcome=TurnOutcome.CANCELLED))
    await memory.handlers.store_turn(store_turn(3, outcome=TurnOutcome.CANCELLED, answer=""))
    await memory.handlers.store_turn(store_turn(4, answer=""))
    await memory.handlers.store_user_message(store_user_message(5))

    assert await history(memory) == pairs(2)


async def test_the_named_turn_and_later_ones_are_left_out(memory: Memory) -> None:
    for number in (1, 2, 4):
        await memory.handlers.store_turn(store_turn(number))
    await memory.handlers.store_user_message(store_user_message(3))
    await memory.handlers.store_turn(store_turn(5, began_ms=2000))

    assert await history(memory, before=4) == pairs(1, 2, 5)
    assert await history(memory, before=3) == pairs(1, 2, 5)
    assert await history(memory, before=5) == pairs(1, 2)
    assert await history(memory, before=2) == pairs(1)
    assert await history(memory, before=1) == []


async def test_a_named_turn_that_is_not_stored_yet_leaves_nothing_out(memory: Memory) -> None:
    await memory.handlers.store_turn(store_turn(1))

    assert await history(memory, before=9) == pairs(1)
