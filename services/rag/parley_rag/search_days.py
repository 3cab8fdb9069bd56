"""What searches found and answers cited, a row a day for each collection; no query is kept.

Counted in memory and written in batches. A search of all collections is counted under the empty name, and
under those that it gave passages of.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from parley_contracts.citations import Passage
from parley_contracts.feedback import MAX_DAYS, CollectionCitations
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from parley_rag.clock import now_ms
from parley_rag.database import Database
from parley_rag.erasure import erased_of
from parley_rag.tables import SearchDayRow

_log = logging.getLogger("parley.rag")
FLUSH_S = 5.0
DAY_MS = 86_400_000
MAX_WAITING = 10_000
"""Rows that wait to be written; what further ones would count is lost."""

ALL = ""
BANDS = (("best_below_25", 0.0), ("best_below_50", 0.25), ("best_below_75", 0.5), ("best_above", 0.75))
"""Columns of best scores, and from which score on each counts."""

COUNTS = ("searches", "empty", "answered", *(name for name, _ in BANDS), "given", "cited")
_ADD = text(
    f"INSERT INTO rag_search_days (owner_id, collection, day, {', '.join(COUNTS)})"
    f" VALUES (:owner_id, :collection, :day, {', '.join(f':{name}' for name in COUNTS)})"
    " ON CONFLICT (owner_id, collection, day) DO UPDATE SET "
    + ", ".join(f"{name} = rag_search_days.{name} + excluded.{name}" for name in COUNTS)
)
_Key = tuple[str, str, int]


class SearchDays:
    """Counts; nothing waits for what it writes."""

    def __init__(self, database: Database, *, clock_ms: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._waiting: dict[_Key, dict[str, int]] = {}

    def note_search(
        self, owner_id: str, collections: Sequence[str] | None, results: Sequence[Passage]
    ) -> None:
        """Count a search that looked in `collections` (None is all); `results` are best first."""
        best: dict[str, float] = {}
        for passage in results:
            best.setdefault(passage.document.collection, passage.score)
        for name in (ALL,) if collections is None else collections:
            self._add(owner_id, name, {"searches": 1, "empty": int(not results)})
        for name, score in best.items():
            self._add(owner_id, name, {"answered": 1, _band(score): 1})

    def note_citations(self, owner_id: str, counts: Iterable[CollectionCitations]) -> None:
        """Count passages that answers were given, and cited."""
        for one in counts:
            self._add(owner_id, one.collection, {"given": one.given, "cited": one.cited})

    def _add(self, owner_id: str, collection: str, counts: Mapping[str, int]) -> None:
        self._merge((owner_id, collection, self._clock_ms() // DAY_MS), counts)

    def _merge(self, key: _Key, counts: Mapping[str, int]) -> None:
        row = self._waiting.get(key)
        if row is None:
            if len(self._waiting) >= MAX_WAITING:
                return
            row = self._waiting[key] = defaultdict(int)
        for name, count in counts.items():
            row[name] += count

    @asynccontextmanager
    async def finishing(self) -> AsyncGenerator[None]:
        """Write what is counted at the body's end."""
        try:
            yield
        finally:
            await self._write()

    async def run(self) -> None:
        """Write what is counted every few seconds."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self._write()

    async def _write(self) -> None:
        try:
            await self.flush()
        except (SQLAlchemyError, OSError):
            _log.exception("counts of searches are not written yet")

    async def flush(self) -> None:
        """Write what is counted, but of owners who are erased; it is kept when that fails."""
        taken, self._waiting = self._waiting, {}
        if not taken:
            return
        # In one order, so that two writers never wait for each other.
        rows = [_row(key, taken[key]) for key in sorted(taken)]
        oldest = self._clock_ms() // DAY_MS - MAX_DAYS
        try:
            async with self._database.writing() as session:
                erased = await erased_of(session, {key[0] for key in taken})
                if kept := [row for row in rows if row["owner_id"] not in erased]:
                    await session.execute(_ADD, kept)
                await session.execute(delete(SearchDayRow).where(SearchDayRow.day < oldest))
        except BaseException:
            for key, counts in taken.items():
                self._merge(key, counts)
            raise

    async def sums(self, owner_id: str, collection: str, since_day: int) -> dict[str, int]:
        """Return the counts of a collection, with the searches of all collections, since a day."""
        await self.flush()
        columns = SearchDayRow.__table__.columns
        query = select(*(func.coalesce(func.sum(columns[name]), 0) for name in COUNTS)).where(
            SearchDayRow.owner_id == owner_id,
            SearchDayRow.collection.in_((ALL, collection)),
            SearchDayRow.day >= since_day,
        )
        async with self._database.reading() as session:
            row = (await session.execute(query)).one()
        return {name: int(count) for name, count in zip(COUNTS, row, strict=True)}


def _band(score: float) -> str:
    return [name for name, least in BANDS if score >= least or not least][-1]


def _row(key: _Key, counts: Mapping[str, int]) -> dict[str, object]:
    owner_id, collection, day = key
    return {
        "owner_id": owner_id,
        "collection": collection,
        "day": day,
        **{name: counts.get(name, 0) for name in COUNTS},
    }
