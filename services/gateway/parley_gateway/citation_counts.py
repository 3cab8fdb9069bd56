"""Counts what answers were given and cited: for this process's metrics, and in batches for rag's days."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from parley_contracts import subjects
from parley_contracts.citations import Citation
from parley_contracts.errors import ParleyError
from parley_contracts.feedback import MAX_COUNTED, CollectionCitations, CountCitations
from parley_contracts.replies import Done
from parley_contracts.turns import Seal
from parley_messaging import Bus
from parley_messaging.acting import acting_for, system_of

log = logging.getLogger("parley.gateway")

SEND_EVERY_S = 5.0
SEND_S = 2.0
MAX_WAITING = 10_000
"""Collections whose counts wait to be sent; of further ones nothing is told."""


class CitationCounts:
    """Passages of documents only: a web page is no result of retrieval."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._given: Counter[tuple[str, str]] = Counter()
        self._cited: Counter[tuple[str, str]] = Counter()
        self.given = 0
        self.cited = 0
        self.turns_by_support: Counter[str] = Counter()

    def note(self, seal: Seal, given: Sequence[Citation], *, owner_id: str | None = None) -> None:
        """Count a completed turn, by its seal and what its model was given of whose documents."""
        self.turns_by_support[seal.support or "not_searched"] += 1
        owner_id = owner_id or seal.turn.owner_id
        for citation in given:
            key = (owner_id, citation.document.collection)
            if citation.url is not None or (key not in self._given and len(self._given) >= MAX_WAITING):
                continue
            self.given += 1
            self._given[key] += 1
            if citation in seal.citations:
                self.cited += 1
                self._cited[key] += 1

    async def run(self) -> None:
        """Tell rag every few seconds."""
        while True:
            await asyncio.sleep(SEND_EVERY_S)
            await self.send()

    @asynccontextmanager
    async def finishing(self) -> AsyncGenerator[None]:
        """Tell rag at the body's end what it has not been told."""
        try:
            yield
        finally:
            await self.send()

    async def send(self) -> None:
        """Tell rag; what it does not take is lost, for it may have been counted."""
        given, cited = self._given, self._cited
        self._given, self._cited = Counter(), Counter()
        by_owner: dict[str, list[CollectionCitations]] = {}
        for (owner_id, name), count in given.items():
            counts = CollectionCitations(collection=name, given=count, cited=cited[owner_id, name])
            by_owner.setdefault(owner_id, []).append(counts)
        for owner_id, counts in by_owner.items():
            for at in range(0, len(counts), MAX_COUNTED):
                await self._send(
                    CountCitations(owner_id=owner_id, counts=tuple(counts[at : at + MAX_COUNTED]))
                )

    async def _send(self, request: CountCitations) -> None:
        try:
            with acting_for(system_of(request.owner_id)):
                await self._bus.request(subjects.RAG_COUNT_CITATIONS, request, Done, timeout_s=SEND_S)
        except ParleyError as error:
            log.info("counts of citations are lost", extra={"code": error.code})
