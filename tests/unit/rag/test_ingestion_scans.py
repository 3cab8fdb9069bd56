"""Scanned pages: recognised once, kept, and read with the rest; without recognition the rest is read."""

from collections.abc import Sequence

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import Recognise, RecognisedText
from parley_contracts.rag import DocumentStatus
from parley_rag.tables import PageTextRow
from parley_rag.vectors import IndexedPassage
from sqlalchemy import func, select

from tests.unit.rag.library import Library
from tests.unit.rag.papers import scanned_pdf

SCAN = scanned_pdf()


class Reader:
    """Answers `npu.recognise` with a sentence a page, a given number of times; then it is overloaded."""

    def __init__(self, answers: int = 1000) -> None:
        self.asked: list[Recognise] = []
        self._left = answers

    async def recognise(self, request: Recognise) -> RecognisedText:
        if not self._left:
            raise ParleyError(ErrorCode.OVERLOADED, "busy")
        self._left -= 1
        self.asked.append(request)
        assert request.image.startswith(b"\x89PNG")
        return RecognisedText(text="The recognised pump moves water.", engine="fake")


def answer_with(library: Library, reader: Reader) -> None:
    library.bus.answer(subjects.NPU_RECOGNISE, Recognise, reader.recognise)


async def test_a_scan_is_read_by_what_is_recognised_on_it(library: Library) -> None:
    reader = Reader()
    answer_with(library, reader)
    document = await library.upload(SCAN, "scan.pdf")
    assert document.status is DocumentStatus.READY
    (passage,) = await library.search("pump")
    assert (passage.text, passage.page) == ("The recognised pump moves water.", 1)
    assert [request.languages for request in reader.asked] == [("eng",)]


async def test_without_recognition_a_file_of_scans_fails_as_ever(library: Library) -> None:
    document = await library.upload(SCAN, "scan.pdf")
    assert document.status is DocumentStatus.FAILED
    assert "scan" in (document.error or "")


async def test_a_page_is_recognised_once_however_often_the_job_is_run(library: Library) -> None:
    reader = Reader()
    answer_with(library, reader)
    created = await library.create(SCAN, "scan.pdf")
    job = await library.put(SCAN, created.document)
    real_put = library.index.put

    async def away(passages: Sequence[IndexedPassage]) -> None:
        raise ParleyError(ErrorCode.UNAVAILABLE, f"{len(passages)} not taken")

    library.index.put = away
    with pytest.raises(ParleyError):
        await library.parts.ingestion.run(job)
    library.index.put = real_put
    before = await library.chunks()
    await library.parts.ingestion.run(job)
    assert (await library.read(created.document.id)).status is DocumentStatus.READY
    assert (await library.chunks(), len(reader.asked)) == (before, 1)
    async with library.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(PageTextRow)) == 1


async def test_a_busy_npu_has_the_job_tried_again(library: Library) -> None:
    answer_with(library, Reader(answers=0))
    created = await library.create(SCAN, "scan.pdf")
    job = await library.put(SCAN, created.document)
    with pytest.raises(ParleyError):
        await library.parts.ingestion.run(job)
    answer_with(library, Reader())
    await library.parts.ingestion.run(job)
    assert (await library.read(created.document.id)).status is DocumentStatus.READY
