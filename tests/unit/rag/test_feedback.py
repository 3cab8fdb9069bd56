"""Verdicts on citations are kept once and are their owner's; searches are counted without their words."""

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.feedback import (
    CollectionCitations,
    CountCitations,
    DeleteFeedback,
    ListFeedback,
    Quality,
    RateCitation,
    ReadQuality,
    Verdict,
)
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import DeleteCollection, DeleteDocument, Search
from parley_rag.database import Database
from parley_rag.feedback import Feedback
from parley_rag.search_days import DAY_MS, MAX_WAITING, SearchDays
from parley_rag.tables import Row, SearchDayRow
from sqlalchemy import func, select, text

from tests.unit.rag.library import OTHER, OWNER, Library

LAMP = b"The lamp of the lighthouse burns whale oil."


class Clock:
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.ms = 100 * DAY_MS

    def __call__(self) -> int:
        return self.ms


def rating(
    turn_id: str = "t1", n: int = 1, verdict: Verdict = Verdict.UP, *, owner: str = OWNER, **more: object
) -> RateCitation:
    values = {"document_id": "d1", "start": 3, "end": 9, **more}
    return RateCitation.model_validate(
        {"owner_id": owner, "turn_id": turn_id, "n": n, "verdict": verdict, **values}
    )


async def test_a_verdict_is_kept_once_and_the_last_one_stands(database: Database) -> None:
    clock = Clock()
    feedback = Feedback(database, clock_ms=clock)
    first = await feedback.rate(rating())
    clock.ms += 1
    assert await feedback.rate(rating()) == first
    changed = await feedback.rate(rating(verdict=Verdict.DOWN, note="Not what it says."))
    assert (changed.verdict, changed.note, changed.at_ms) == (Verdict.DOWN, "Not what it says.", clock.ms)
    assert await feedback.page(ListFeedback(owner_id=OWNER)) == ([changed], None)


async def test_verdicts_are_listed_newest_first_in_pages(database: Database) -> None:
    clock = Clock()
    feedback = Feedback(database, clock_ms=clock)
    for turn_id, n in (("t1", 1), ("t.2", 1), ("t.2", 2), ("t3", 1)):
        await feedback.rate(rating(turn_id, n))
        clock.ms += turn_id == "t1"
    seen: list[tuple[str, int]] = []
    cursor = None
    while True:
        page, cursor = await feedback.page(ListFeedback(owner_id=OWNER, limit=1, cursor=cursor))
        seen += [(one.turn_id, one.n) for one in page]
        if cursor is None:
            break
    assert seen == [("t3", 1), ("t.2", 2), ("t.2", 1), ("t1", 1)]
    of_turn, _ = await feedback.page(ListFeedback(owner_id=OWNER, turn_id="t.2"))
    assert [one.n for one in of_turn] == [2, 1]
    with pytest.raises(ParleyError, match="cursor"):
        await feedback.page(ListFeedback(owner_id=OWNER, cursor="1.t"))


async def test_a_verdict_of_somebody_else_does_not_exist(library: Library) -> None:
    quality = library.parts.quality
    await quality.rate(rating())
    assert (await quality.list(ListFeedback(owner_id=OTHER))).feedback == ()
    with pytest.raises(ParleyError) as refused:
        await quality.delete(DeleteFeedback(owner_id=OTHER, turn_id="t1", n=1))
    assert refused.value.code is ErrorCode.NOT_FOUND
    await quality.rate(rating(verdict=Verdict.DOWN, owner=OTHER))
    (mine,) = (await quality.list(ListFeedback(owner_id=OWNER))).feedback
    assert mine.verdict is Verdict.UP
    await quality.delete(DeleteFeedback(owner_id=OWNER, turn_id="t1", n=1))
    assert (await quality.list(ListFeedback(owner_id=OWNER))).feedback == ()
    assert len((await quality.list(ListFeedback(owner_id=OTHER))).feedback) == 1


async def read_quality(library: Library, *, owner: str = OWNER) -> Quality:
    return await library.parts.quality.read(ReadQuality(owner_id=owner, collection="default"))


async def test_quality_sums_searches_citations_and_verdicts_of_a_collection(library: Library) -> None:
    lamp = await library.upload(LAMP, "lamp.txt")
    await library.upload(b"Rye bread is baked first.", "bread.txt", collection="bakery")
    search = library.parts.searching.search
    await search(Search(owner_id=OWNER, query="whale oil", collections=("default",)))
    await search(Search(owner_id=OWNER, query="whale oil", collections=("bakery",)))
    await search(Search(owner_id=OWNER, query="whale oil"))
    await library.parts.quality.count_citations(
        CountCitations(owner_id=OWNER, counts=(CollectionCitations(collection="default", given=5, cited=2),))
    )
    await library.parts.quality.rate(rating(document_id=lamp.id))
    await library.parts.quality.rate(rating(n=2, document_id=lamp.id, verdict=Verdict.DOWN))
    await library.parts.quality.rate(rating(n=3, document_id="gone"))
    found = await read_quality(library)
    assert (found.searches, found.empty_searches, found.answered_searches) == (2, 0, 2)
    assert sum(band.searches for band in found.best_scores) == 2
    assert [band.least for band in found.best_scores] == [0.0, 0.25, 0.5, 0.75]
    assert (found.passages_given, found.passages_cited) == (5, 2)
    assert (found.verdicts_up, found.verdicts_down) == (1, 1)
    with pytest.raises(ParleyError) as refused:
        await read_quality(library, owner=OTHER)
    assert refused.value.code is ErrorCode.NOT_FOUND


async def test_verdicts_go_with_their_document_and_counts_with_their_collection(library: Library) -> None:
    lamp, bread = await library.upload(LAMP, "lamp.txt"), await library.upload(b"Rye bread.", "bread.txt")
    handlers, quality = library.parts.handlers, library.parts.quality
    await quality.rate(rating(document_id=lamp.id))
    await quality.rate(rating(n=2, document_id=bread.id))
    await handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=lamp.id))
    assert [one.n for one in (await quality.list(ListFeedback(owner_id=OWNER))).feedback] == [2]
    await library.parts.searching.search(Search(owner_id=OWNER, query="rye", collections=("default",)))
    await library.parts.days.flush()
    await handlers.delete_collection(DeleteCollection(owner_id=OWNER, name="default"))
    assert (await quality.list(ListFeedback(owner_id=OWNER))).feedback == ()
    async with library.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(SearchDayRow)) == 0


async def away(_: Embed) -> Embeddings:
    raise ParleyError(ErrorCode.UNAVAILABLE, "npu is away")


async def test_a_search_that_finds_nothing_is_counted_as_empty(library: Library) -> None:
    await library.upload(LAMP)
    library.bus.answer(subjects.NPU_EMBED, Embed, away)
    nothing = await library.parts.searching.search(Search(owner_id=OWNER, query="zebra"))
    assert nothing.results == ()
    assert nothing.had_documents
    found = await read_quality(library)
    assert (found.searches, found.empty_searches, found.answered_searches) == (1, 1, 0)


async def test_who_has_no_documents_is_told_so_and_nothing_is_counted(library: Library) -> None:
    found = await library.parts.searching.search(Search(owner_id=OWNER, query="whale oil"))
    assert not found.had_documents
    async with library.database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(SearchDayRow)) == 0


async def test_no_words_of_a_query_reach_the_database(library: Library) -> None:
    await library.upload(LAMP)
    await library.search("whale zeppelin")
    await library.parts.days.flush()
    async with library.database.reading() as session:
        for table in Row.metadata.tables:
            rows = (await session.execute(text(f"SELECT * FROM {table}"))).all()
            assert "zeppelin" not in str(rows)


async def test_counts_are_added_up_over_writes_and_days_and_old_ones_go(database: Database) -> None:
    clock = Clock()
    days = SearchDays(database, clock_ms=clock)
    for _ in range(3):
        days.note_search(OWNER, ("default",), [])
        await days.flush()
        days.note_search(OWNER, ("default",), [])
        clock.ms += DAY_MS
    today = clock.ms // DAY_MS
    assert (await days.sums(OWNER, "default", today - 3))["searches"] == 6
    assert (await days.sums(OWNER, "default", today - 1))["searches"] == 2
    clock.ms += 366 * DAY_MS
    days.note_search(OWNER, ("default",), [])
    assert (await days.sums(OWNER, "default", 0))["searches"] == 1


async def test_counts_are_written_when_the_service_ends(database: Database) -> None:
    days = SearchDays(database)
    async with days.finishing():
        days.note_search(OWNER, None, [])
    async with database.reading() as session:
        assert await session.scalar(select(SearchDayRow.searches)) == 1


async def test_what_could_not_be_written_is_written_later(database: Database) -> None:
    days = SearchDays(database)
    async with database.writing() as session:
        await session.execute(text("ALTER TABLE rag_search_days RENAME TO away"))
    async with days.finishing():
        days.note_search(OWNER, None, [])
    async with database.writing() as session:
        await session.execute(text("ALTER TABLE away RENAME TO rag_search_days"))
    assert (await days.sums(OWNER, "default", 0))["searches"] == 1


def test_what_waits_to_be_written_is_bounded(database: Database) -> None:
    days = SearchDays(database)
    for number in range(MAX_WAITING + 5):
        days.note_search(OWNER, (f"c{number}",), [])
    assert len(days._waiting) == MAX_WAITING  # pyright: ignore[reportPrivateUsage]  # what is bounded is inside
