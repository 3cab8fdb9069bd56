"""Conversations are listed page by page, renamed, deleted, and read as far as a reply can hold."""

import base64

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import (
    DeleteConversation,
    ListConversations,
    ReadConversation,
    RenameConversation,
    StoredMessage,
)
from parley_memory.cursor import PageCursor
from sqlalchemy import URL

from tests.unit.memory.stored_turns import ALICE, Memory, open_memory, store_turn


async def ids_by_page(memory: Memory, limit: int) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor: str | None = None
    while not pages or cursor is not None:
        request = ListConversations(owner_id=ALICE, limit=limit, cursor=cursor)
        page = await memory.handlers.list_conversations(request)
        pages.append([found.id for found in page.conversations])
        cursor = page.next_cursor
    return pages


async def test_pages_follow_one_another_without_gap_or_repeat_among_equal_times(memory: Memory) -> None:
    for number in range(7):
        await memory.handlers.store_turn(store_turn(number, f"c{number}", began_ms=(number // 3) * 1000))

    assert await ids_by_page(memory, 3) == [["c6", "c5", "c4"], ["c3", "c2", "c1"], ["c0"]]
    assert await ids_by_page(memory, 7) == [["c6", "c5", "c4", "c3", "c2", "c1", "c0"]]


async def test_an_owner_without_conversations_gets_an_empty_last_page(memory: Memory) -> None:
    assert await ids_by_page(memory, 3) == [[]]


async def test_a_conversation_used_again_comes_first(memory: Memory) -> None:
    await memory.handlers.store_turn(store_turn(1, "old"))
    await memory.handlers.store_turn(store_turn(2, "new"))
    await memory.handlers.store_turn(store_turn(3, "old"))

    page = await memory.handlers.list_conversations(ListConversations(owner_id=ALICE))

    assert [
        (found.id, found.turns, found.created_at_ms, found.updated_at_ms) for found in page.conversations
    ] == [
        ("old", 2, 1000, 3500),
        ("new", 1, 2000, 2500),
    ]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "not base64!",
        base64.urlsafe_b64encode(b"[1]").decode(),
        base64.urlsafe_b64encode(b'["1","c"]').decode(),
        PageCursor(2**63, "c").encode(),
        "A" * 5000,
        "\ud800",
    ],
)
async def test_a_cursor_that_no_list_returned_is_refused(memory: Memory, cursor: str) -> None:
    request = ListConversations.model_construct(owner_id=ALICE, limit=5, cursor=cursor)
    with pytest.raises(ParleyError) as told:
        await memory.handlers.list_conversations(request)

    assert (told.value.code, told.value.field) == (ErrorCode.INVALID_REQUEST, "cursor")


def test_a_cursor_is_read_back() -> None:
    cursor = PageCursor(1_700_000_000_000, "c/ü?")
    assert PageCursor.decode(cursor.encode()) == cursor


async def test_a_conversation_is_renamed_and_keeps_its_place(memory: Memory) -> None:
    await memory.handlers.store_turn(store_turn(1, "c1"))
    await memory.handlers.store_turn(store_turn(2, "c2"))
    await memory.handlers.rename_conversation(
        RenameConversation(owner_id=ALICE, conversation_id="c1", title="Plans")
    )

    page = await memory.handlers.list_conversations(ListConversations(owner_id=ALICE))

    assert [found.title for found in page.conversations] == ["question 2", "Plans"]


async def test_a_deleted_conversation_is_neither_listed_nor_counted(url: URL) -> None:
    async with open_memory(url) as memory:
        await memory.handlers.store_turn(store_turn(1, "c1"))
        await memory.handlers.store_turn(store_turn(2, "c2"))
        await memory.handlers.delete_conversation(DeleteConversation(owner_id=ALICE, conversation_id="c1"))
        assert await ids_by_page(memory, 5) == [["c2"]]


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_a_conversation_larger_than_a_reply_is_read_turn_by_turn_without_loss(
    url: URL, limit: int
) -> None:
    async with open_memory(url, reply_bytes=10_000) as memory:
        for number in range(1, 20):
            await memory.handlers.store_turn(store_turn(number, answer="ä" * 300))
        pages: list[tuple[StoredMessage, ...]] = []
        cursor: str | None = None
        while not pages or cursor is not None:
            request = ReadConversation(owner_id=ALICE, conversation_id="c1", limit=limit, cursor=cursor)
            found = await memory.handlers.read_conversation(request)
            pages.insert(0, found.messages)
            cursor = found.next_cursor

    messages = [message for page in pages for message in page]
    assert len(pages) > 1
    assert [message.role for message in messages] == ["user", "assistant"] * 19
    assert [message.text for message in messages[::2]] == [f"question {number}" for number in range(1, 20)]


async def test_a_turn_larger_than_a_reply_is_read_alone(url: URL) -> None:
    async with open_memory(url, reply_bytes=10_000) as memory:
        await memory.handlers.store_turn(store_turn(1))
        await memory.handlers.store_turn(store_turn(2, answer="ä" * 10_000))
        found = await memory.handlers.read_conversation(
            ReadConversation(owner_id=ALICE, conversation_id="c1")
        )

    assert [len(message.text) for message in found.messages][-1] == 10_000
    assert len(found.messages) == 2
    assert found.next_cursor is not None
