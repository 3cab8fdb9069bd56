import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from parley_rag.load.extraction import UnreadableDocument
from parley_rag.load.limits import ReadLimits
from parley_rag.nursery import Nursery, open_nursery
from parley_rag.reading import read_archive, read_document, render_pages

from tests.integration.waiting import eventually
from tests.unit.rag.office_files import zipped
from tests.unit.rag.papers import scanned_pdf
from tests.unit.rag.processes import child_running, children_of


@pytest.fixture
async def nursery() -> AsyncGenerator[Nursery]:
    async with open_nursery() as opened:
        yield opened


async def read(nursery: Nursery, words: str, limits: ReadLimits | None = None) -> str:
    document = await read_document(words.encode(), "a.txt", limits or ReadLimits(), processes=nursery)
    return document.text


def nursery_pid() -> int:
    return child_running("parley_rag.load.nursery")


async def test_documents_are_read_side_by_side_in_forks_of_one_process(
    nursery: Nursery, tmp_path: Path
) -> None:
    texts = [f"words {number} " * 1000 for number in range(8)]
    assert await asyncio.gather(*(read(nursery, text) for text in texts)) == texts
    assert children_of(nursery_pid()) == []
    listing = await read_archive(zipped({"a.txt": "Oil."}), "a.zip", ReadLimits(), tmp_path, nursery)
    assert [member.error for member in listing.members] == [None]
    pictures = [page async for page, _ in render_pages(scanned_pdf(), [1], ReadLimits(), nursery)]
    assert pictures == [1]


async def test_limits_hold_for_one_document_and_not_for_the_next(nursery: Nursery) -> None:
    assert await read(nursery, "words") == "words"
    with pytest.raises(UnreadableDocument, match="took longer"):
        await read(nursery, "words " * 200_000, ReadLimits(timeout_s=0.02))
    with pytest.raises(UnreadableDocument, match=r"too much memory|reader failed"):
        await read(nursery, "words \n\n" * 300_000, ReadLimits(memory_bytes=64 << 20))
    assert await read(nursery, "words") == "words"
    assert children_of(nursery_pid()) == []


async def test_a_nursery_that_is_killed_is_started_anew(nursery: Nursery) -> None:
    assert await read(nursery, "words") == "words"
    killed = nursery_pid()
    under_way = asyncio.create_task(read(nursery, "words " * 400_000))

    async def is_reading() -> bool:
        return bool(children_of(killed))

    await eventually(is_reading)
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(ChildProcessError):  # the document is not to blame, and is read again
        await under_way
    assert await read(nursery, "words") == "words"
    assert nursery_pid() != killed


async def test_a_signal_that_all_processes_get_ends_no_reading(nursery: Nursery) -> None:
    assert await read(nursery, "words") == "words"
    pid, text = nursery_pid(), "words. " * 400_000 + "End."
    under_way = asyncio.create_task(read(nursery, text))

    async def is_reading() -> bool:
        return bool(children_of(pid))

    await eventually(is_reading)
    for process in (pid, *children_of(pid)):
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(process, number)
    assert await under_way == text


async def test_a_nursery_leaves_no_process_behind() -> None:
    async with open_nursery() as nursery:
        await read(nursery, "words")
        pid = nursery_pid()
    assert pid not in children_of(os.getpid())
