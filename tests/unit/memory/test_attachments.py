"""Files that are sent with questions: whose they are, how long they last, and what goes with them."""

import asyncio
import json

import pytest
from parley_contracts.attachments import (
    DeleteAttachment,
    FinishAttachment,
    KeptAttachment,
    ListAttachments,
    UseAttachments,
)
from parley_contracts.data_rights import EraseUser, ExportUser
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import DeleteConversation, ReadHistory
from parley_contracts.rag import sealed_key

from tests.unit.memory.sent_files import create, upload
from tests.unit.memory.stored_turns import ALICE, BOB, FILE_BOUNDS, Memory, store_turn


async def listed(memory: Memory, owner_id: str = ALICE) -> list[KeptAttachment]:
    return [*(await memory.files.list(ListAttachments(owner_id=owner_id))).attachments]


async def use(memory: Memory, *ids: str, owner_id: str = ALICE) -> tuple[KeptAttachment, ...]:
    request = UseAttachments(owner_id=owner_id, attachment_ids=ids)
    return (await memory.files.use(request)).attachments


async def test_the_same_file_again_is_the_same_attachment_and_needs_no_content(memory: Memory) -> None:
    first = await create(memory)
    assert first.needs_content
    again = await create(memory)
    assert (again.attachment.id, again.needs_content) == (first.attachment.id, True)
    whole = await upload(memory)
    known = await create(memory)
    assert (known.attachment.object_id, known.needs_content) == (whole.object_id, False)
    assert (await create(memory, "dog.png")).attachment.id != whole.id
    assert (await create(memory, owner_id=BOB)).attachment.id != whole.id


async def test_what_is_not_whole_is_neither_listed_nor_sent(memory: Memory) -> None:
    made = (await create(memory)).attachment
    assert await listed(memory) == []
    with pytest.raises(ParleyError) as caught:
        await use(memory, made.id)
    assert (caught.value.code, caught.value.field) == (ErrorCode.NOT_FOUND, "attachments")


async def test_anothers_attachment_is_answered_as_one_that_does_not_exist(memory: Memory) -> None:
    bobs = await upload(memory, owner_id=BOB)
    mine = await upload(memory)
    told: set[str] = set()
    for wanted in (bobs.id, "0" * 32):
        for asked in (
            memory.files.delete(DeleteAttachment(owner_id=ALICE, attachment_id=wanted)),
            memory.files.list(ListAttachments(owner_id=ALICE, attachment_id=wanted)),
            use(memory, mine.id, wanted),
        ):
            with pytest.raises(ParleyError) as caught:
                await asked
            assert caught.value.code is ErrorCode.NOT_FOUND
            told.add(caught.value.message)
    assert told == {"There is no such attachment."}
    assert [one.id for one in await listed(memory, BOB)] == [bobs.id]


async def test_what_nothing_sends_expires_with_its_content_and_what_is_used_lasts(memory: Memory) -> None:
    unsent, used = await upload(memory, "a.png"), await upload(memory, "b.png")
    memory.clock.now_ms += FILE_BOUNDS.lasts_ms - 1
    await use(memory, used.id)
    await memory.removals.sweep()
    assert len(await listed(memory)) == 2
    memory.clock.now_ms += 1
    await memory.removals.sweep()
    assert [one.id for one in await listed(memory)] == [used.id]
    assert set(memory.objects.kept) == {sealed_key(ALICE, used.object_id)}
    assert sealed_key(ALICE, unsent.object_id) not in memory.objects.kept


async def test_what_was_sent_is_kept_with_its_conversation_and_goes_with_it(memory: Memory) -> None:
    one, both = await upload(memory, "a.png"), await upload(memory, "b.png")
    await memory.handlers.store_turn(store_turn(1, attachments=(both.id, one.id)))
    await memory.handlers.store_turn(store_turn(2, "c2", attachments=(both.id,)))
    memory.clock.now_ms += 10 * FILE_BOUNDS.lasts_ms
    await memory.removals.sweep()
    question, answer = await memory.messages("c1")
    assert [file.name for file in question.attachments] == ["b.png", "a.png"]
    assert [file.expires_at_ms for file in question.attachments] == [None, None]
    assert answer.attachments == ()
    history = await memory.handlers.read_history(ReadHistory(owner_id=ALICE, conversation_id="c1"))
    assert history.messages[0].attachments == (both.id, one.id)
    assert {file.object_id for file in history.attachments} == {one.object_id, both.object_id}

    await memory.handlers.delete_conversation(DeleteConversation(owner_id=ALICE, conversation_id="c1"))
    await memory.removals.sweep()
    assert [file.id for file in await listed(memory)] == [both.id]
    assert set(memory.objects.kept) == {sealed_key(ALICE, both.object_id)}


async def test_a_file_that_is_deleted_is_gone_from_its_question_and_its_store(memory: Memory) -> None:
    file = await upload(memory)
    await memory.handlers.store_turn(store_turn(1, attachments=(file.id,)))
    await memory.files.delete(DeleteAttachment(owner_id=ALICE, attachment_id=file.id))
    await memory.removals.sweep()
    assert (await memory.messages("c1"))[0].attachments == ()
    assert memory.objects.kept == {}
    again = await upload(memory)
    assert (again.id, again.object_id != file.object_id) == (file.id, True)


async def test_a_turn_whose_file_is_gone_or_anothers_is_stored_without_it(memory: Memory) -> None:
    bobs = await upload(memory, owner_id=BOB)
    await memory.handlers.store_turn(store_turn(1, attachments=("0" * 32, bobs.id)))
    assert (await memory.messages("c1"))[0].attachments == ()


async def test_a_removal_that_failed_is_made_up_for(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    file = await upload(memory)
    delete = memory.objects.delete

    async def fail(_: str) -> None:
        raise ParleyError(ErrorCode.UNAVAILABLE, "away")

    monkeypatch.setattr(memory.objects, "delete", fail)
    await memory.files.delete(DeleteAttachment(owner_id=ALICE, attachment_id=file.id))
    with pytest.raises(ParleyError):
        await memory.removals.sweep()
    assert memory.objects.kept
    monkeypatch.setattr(memory.objects, "delete", delete)
    sweeping = asyncio.create_task(memory.removals.run())
    async with asyncio.timeout(10):
        while memory.objects.kept:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
    sweeping.cancel()


async def test_content_that_comes_behind_its_removal_is_removed_too(memory: Memory) -> None:
    made = (await create(memory)).attachment
    await memory.files.delete(DeleteAttachment(owner_id=ALICE, attachment_id=made.id))
    await memory.removals.sweep()
    await memory.objects.put(sealed_key(ALICE, made.object_id), b"late")
    done = FinishAttachment(owner_id=ALICE, attachment_id=made.id, object_id=made.object_id)
    with pytest.raises(ParleyError) as caught:
        await memory.files.finish(done)
    assert caught.value.code is ErrorCode.NOT_FOUND
    await memory.removals.sweep()
    assert memory.objects.kept == {}


async def test_an_owner_has_no_more_files_and_bytes_than_he_may(memory: Memory) -> None:
    for number in range(FILE_BOUNDS.count):
        await create(memory, f"{number}.png")
    with pytest.raises(ParleyError) as caught:
        await create(memory, "more.png")
    assert (caught.value.code, caught.value.field) == (ErrorCode.QUOTA_EXCEEDED, "file")
    await create(memory, "0.png")
    await create(memory, "large.png", BOB, size=FILE_BOUNDS.size_bytes)
    with pytest.raises(ParleyError):
        await create(memory, "tiny.png", BOB, size=1)


async def test_an_export_names_files_and_an_erasure_leaves_none(memory: Memory) -> None:
    file = await upload(memory)
    await memory.handlers.store_turn(store_turn(1, attachments=(file.id,)))
    await upload(memory, owner_id=BOB)
    page = await memory.rights.export(ExportUser(owner_id=ALICE))
    (original,) = page.originals
    assert (original.document_id, original.name, original.is_sealed) == (file.object_id, "cat.png", True)
    kinds = [one.kind for one in page.records]
    assert {"memory_attachments", "memory_message_attachments"} <= set(kinds)
    told = next(json.loads(one.line) for one in page.records if one.kind == "memory_attachments")
    assert told["name"] == "cat.png"

    counts: dict[str, int] = {}
    while True:
        part = await memory.rights.erase(EraseUser(owner_id=ALICE))
        counts |= {one.place: one.count for one in part.removed}
        if part.is_done:
            break
    assert counts["memory_attachments"] == 1
    assert all(key.startswith(f"{BOB}/") for key in memory.objects.kept)
    assert len(memory.objects.kept) == 1
    with pytest.raises(ParleyError) as caught:
        await create(memory)
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_files_are_listed_in_pages_newest_first(memory: Memory) -> None:
    for number in range(4):
        memory.clock.now_ms += 1
        await upload(memory, f"{number}.png")
    first = await memory.files.list(ListAttachments(owner_id=ALICE, limit=3))
    rest = await memory.files.list(ListAttachments(owner_id=ALICE, limit=3, cursor=first.next_cursor))
    assert [one.name for one in (*first.attachments, *rest.attachments)] == [
        f"{number}.png" for number in (3, 2, 1, 0)
    ]
    assert rest.next_cursor is None
