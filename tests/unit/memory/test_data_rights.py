"""Exports and erasures of what memory keeps of a user, over SQLite and PostgreSQL."""

import json
from pathlib import Path

import pytest
from parley_contracts.attachments import DeleteAttachment
from parley_contracts.data_rights import EraseUser, ExportUser, visitors_of
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import DeleteConversation, ListConversations
from parley_memory.tables import STORE, conversations, erased_owners, messages, metadata, outbox
from sqlalchemy import func, select

from tests.unit.memory.sent_files import upload
from tests.unit.memory.stored_turns import ALICE, BOB, Memory, open_memory, store_turn, store_user_message

BOT = "b" * 32
VISITOR = f"visitor-{BOT}-0123"
OTHER_BOTS_VISITOR = f"visitor-{BOT[:-1]}c-0123"


async def exported(memory: Memory, owner_id: str, limit: int = 500) -> list[tuple[str, dict[str, object]]]:
    found: list[tuple[str, dict[str, object]]] = []
    cursor: str | None = None
    while True:
        page = await memory.rights.export(ExportUser(owner_id=owner_id, cursor=cursor, limit=limit))
        assert 0 <= len(page.records) <= limit
        found += [(record.kind, json.loads(record.line)) for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            return found


async def erase(memory: Memory, owner_id: str, *bots: str, limit: int = 2) -> int:
    """Erase part by part; return how many rows went."""
    removed = 0
    while True:
        part = await memory.rights.erase(EraseUser(owner_id=owner_id, bot_ids=bots, limit=limit))
        assert sum(one.count for one in part.removed) <= limit
        removed += sum(one.count for one in part.removed)
        if part.is_done:
            return removed


async def owners(memory: Memory) -> set[str]:
    found: set[str] = set()
    for table in (conversations, messages, outbox):
        query = select(table.c.owner_id).distinct()
        found |= set(await memory.database.read(lambda c, q=query: c.execute(q).scalars().all()))
    return found


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_an_export_holds_each_row_of_the_user_once_whatever_the_pages(
    memory: Memory, limit: int
) -> None:
    for number in range(3):
        await memory.handlers.store_turn(store_turn(number, f"c{number % 2}"))
    await memory.handlers.store_turn(store_turn(9, "bobs", BOB))
    found = await exported(memory, ALICE, limit)
    kinds = [kind for kind, _ in found]
    assert kinds == ["memory_conversations"] * 2 + ["memory_messages"] * 6
    assert {row["owner_id"] for _, row in found} == {ALICE}
    texts = {row["text"] for kind, row in found if kind == "memory_messages"}
    assert texts == {f"{word} {number}" for word in ("question", "answer") for number in range(3)}


async def test_a_page_of_an_export_is_bounded_in_bytes_but_never_empty(memory: Memory) -> None:
    for number in range(3):
        await memory.handlers.store_turn(store_turn(number, question="x" * 900_000))
    page = await memory.rights.export(ExportUser(owner_id=ALICE))
    assert len(page.records) < 7
    assert len(await exported(memory, ALICE)) == 7


async def test_a_cursor_of_somebody_elses_making_is_refused(memory: Memory) -> None:
    for cursor in ("x", "[]", "5", '["memory_outbox"]', '["alembic_version_memory"]'):
        with pytest.raises(ParleyError) as refused:
            await memory.rights.export(ExportUser(owner_id=ALICE, cursor=cursor))
        assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_REQUEST, "cursor")


async def test_an_erasure_takes_all_of_the_user_and_nothing_of_others(memory: Memory) -> None:
    for number in range(5):
        await memory.handlers.store_turn(store_turn(number, f"c{number}"))
    await memory.handlers.store_turn(store_turn(9, "bobs", BOB))
    assert await erase(memory, ALICE) == 5 + 10 + 5
    assert await owners(memory) == {BOB}
    assert await erase(memory, ALICE) == 0
    assert len(await memory.messages("bobs", BOB)) == 2


async def test_visitors_of_the_users_bots_go_with_him_and_those_of_others_stay(memory: Memory) -> None:
    await memory.handlers.store_turn(store_turn(1, "v1", VISITOR))
    await memory.handlers.store_turn(store_turn(2, "v2", OTHER_BOTS_VISITOR))
    assert await erase(memory, ALICE, BOT) == 4
    assert await owners(memory) == {OTHER_BOTS_VISITOR}


async def test_visitors_of_a_deleted_bot_go_alone(memory: Memory) -> None:
    for number, owner in enumerate((VISITOR, OTHER_BOTS_VISITOR, ALICE)):
        await memory.handlers.store_turn(store_turn(number, f"c{number}", owner))
    assert await erase(memory, visitors_of(BOT), BOT) == 4
    assert await owners(memory) == {OTHER_BOTS_VISITOR, ALICE}
    with pytest.raises(ParleyError):
        await memory.handlers.store_turn(store_turn(9, "late", VISITOR))


async def test_every_table_that_names_an_owner_is_emptied(memory: Memory) -> None:
    sent, removed = await upload(memory, "sent.png"), await upload(memory, "removed.png")
    await memory.handlers.store_turn(store_turn(1, attachments=(sent.id,)))
    await memory.files.delete(DeleteAttachment(owner_id=ALICE, attachment_id=removed.id))
    named = [table for table in metadata.sorted_tables if "owner_id" in table.c]
    named.remove(erased_owners)
    for table in named:
        query = select(func.count()).select_from(table)
        assert await memory.database.read(lambda c, q=query: c.execute(q).scalar_one()), table.name
    await erase(memory, ALICE)
    for table in named:
        query = select(func.count()).select_from(table)
        assert not await memory.database.read(lambda c, q=query: c.execute(q).scalar_one()), table.name


@pytest.mark.parametrize("late", [ALICE, VISITOR])
async def test_what_arrives_after_an_erasure_is_refused_and_leaves_nothing(memory: Memory, late: str) -> None:
    await erase(memory, ALICE, BOT)
    with pytest.raises(ParleyError) as refused:
        await memory.handlers.store_turn(store_turn(1, "late", late))
    assert refused.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(ParleyError):
        await memory.handlers.store_user_message(store_user_message(2, "late", late))
    unknown = DeleteConversation(owner_id=late, conversation_id="late", even_if_unknown=True)
    await memory.handlers.delete_conversation(unknown)
    assert await owners(memory) == set()
    await memory.handlers.store_turn(store_turn(3, "bobs", BOB))
    listed = await memory.handlers.list_conversations(ListConversations(owner_id=BOB))
    assert len(listed.conversations) == 1


async def test_a_question_that_was_stored_before_the_erasure_gets_no_answer_after_it(memory: Memory) -> None:
    await memory.handlers.store_user_message(store_user_message(1))
    await erase(memory, ALICE)
    with pytest.raises(ParleyError):
        await memory.handlers.store_turn(store_turn(1))
    count = select(func.count()).select_from(messages)
    assert await memory.database.read(lambda connection: connection.execute(count).scalar_one()) == 0


async def test_erased_text_stands_in_no_file_of_sqlite(tmp_path: Path) -> None:
    secret = "Rosebud and the heron"
    async with open_memory(STORE.url(None, tmp_path)) as memory:
        for number in range(50):
            await memory.handlers.store_turn(store_turn(number, question=secret, answer=secret * 50))
        await memory.handlers.store_turn(store_turn(99, "bobs", BOB, question="Bob stays"))
        assert holding(tmp_path, secret)
        await erase(memory, ALICE, limit=7)
        assert not holding(tmp_path, secret)
        assert holding(tmp_path, "Bob stays")


def holding(folder: Path, text: str) -> list[str]:
    return [path.name for path in folder.iterdir() if text.encode() in path.read_bytes()]
