"""Services that an accounts service asks for exports and erasures, as the memory bus offers them."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from parley_contracts import subjects
from parley_contracts.data_rights import (
    ErasedPart,
    EraseUser,
    ExportedOriginal,
    ExportedRecord,
    ExportPage,
    ExportUser,
    PlaceCount,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_messaging.memory_bus import MemoryBus

PLACES = {"turns": "TURN_PEN", "memory": "memory_messages", "rag": "rag_documents"}
Fault = Callable[[str, int, bool], None]
"""Raises, or does not, before (False) and after (True) the work of the nth request, of a service."""


def no_fault(_: str, __: int, is_after: bool) -> None:
    """Let every request through."""


@dataclass
class ScriptedServices:
    """Keeps rows of users by service; each part removes two, each page shows two."""

    bus: MemoryBus
    rows: dict[str, dict[str, list[str]]] = field(default_factory=dict[str, dict[str, list[str]]])
    originals: dict[str, list[ExportedOriginal]] = field(default_factory=dict[str, list[ExportedOriginal]])
    requests: int = 0
    asked: Counter[str] = field(default_factory=Counter[str])
    bots: tuple[str, ...] = ()
    away: set[str] = field(default_factory=set[str])
    waits: int = 0
    fault: Fault = no_fault

    def start(self) -> None:
        for service, subject in (
            ("turns", subjects.TURN_ERASE_USER),
            ("memory", subjects.MEMORY_ERASE_USER),
            ("rag", subjects.RAG_ERASE_USER),
            ("llm", subjects.LLM_ERASE_USER),
        ):
            self.bus.answer(subject, EraseUser, self._eraser(service))
        for service, subject in (
            ("memory", subjects.MEMORY_EXPORT_USER),
            ("rag", subjects.RAG_EXPORT_USER),
        ):
            self.bus.answer(subject, ExportUser, self._exporter(service))

    def fill(self, user_id: str, count: int = 5) -> None:
        for service in PLACES:
            self.rows.setdefault(service, {})[user_id] = [f"{service}-{number}" for number in range(count)]

    def left(self, user_id: str) -> dict[str, list[str]]:
        return {service: rows[user_id] for service, rows in self.rows.items() if rows.get(user_id)}

    def _begin(self, service: str) -> int:
        self.requests += 1
        self.asked[service] += 1
        if service in self.away:
            raise ParleyError(ErrorCode.UNAVAILABLE, "That part of Parley is away.")
        self.fault(service, self.requests, False)
        return self.requests

    def _eraser(self, service: str) -> Callable[[EraseUser], "asyncio.Future[ErasedPart]"]:
        async def erase(request: EraseUser) -> ErasedPart:
            number = self._begin(service)
            self.bots = request.bot_ids
            if service == "turns" and self.waits > 0:
                self.waits -= 1
                return ErasedPart(is_done=False, waits_for="turns that are being stopped")
            rows = self.rows.get(service, {}).get(request.owner_id, [])
            gone, rows[:] = rows[:2], rows[2:]
            self.fault(service, number, True)
            removed = (PlaceCount(place=PLACES[service], count=len(gone)),) if gone else ()
            return ErasedPart(removed=removed, is_done=not rows)

        return erase  # pyright: ignore[reportReturnType] - a coroutine function

    def _exporter(self, service: str) -> Callable[[ExportUser], "asyncio.Future[ExportPage]"]:
        async def export(request: ExportUser) -> ExportPage:
            number = self._begin(service)
            rows = self.rows.get(service, {}).get(request.owner_id, [])
            begun = int(request.cursor or 0)
            page = rows[begun : begun + 2]
            records = tuple(
                ExportedRecord(kind=PLACES[service], line=json.dumps({"text": text})) for text in page
            )
            self.fault(service, number, True)
            following = str(begun + 2) if begun + 2 < len(rows) else None
            originals = (
                tuple(self.originals.get(request.owner_id, ())) if service == "rag" and not begun else ()
            )
            return ExportPage(records=records, originals=originals, next_cursor=following)

        return export  # pyright: ignore[reportReturnType] - a coroutine function
