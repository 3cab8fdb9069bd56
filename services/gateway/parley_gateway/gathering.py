"""What a turn needs to know before the model is asked: history, passages, web pages, each in its budget."""

import asyncio
import re
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from parley_contracts import subjects
from parley_contracts.browser import MAX_URL_CHARS, PageText, ReadPage
from parley_contracts.citations import Citation, DocumentRef, Passage
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import History, ReadHistory
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import Search, SearchResults
from parley_contracts.turns import ChatMessage, StartTurn
from parley_messaging import Bus

from parley_gateway.settings import GatewaySettings

Found = TypeVar("Found")

MAX_PAGES = 3
PAGE_CHARS = 6_000
_ADDRESS = re.compile(r"https?://[^\s<>\"'\])]+")


@dataclass(slots=True)
class Gathered:
    """What came in time, and the names of the parts that did not."""

    history: tuple[ChatMessage, ...] = ()
    passages: list[Passage] = field(default_factory=list[Passage])
    pages: list[Passage] = field(default_factory=list[Passage])
    degraded: set[str] = field(default_factory=set[str])
    took_ms: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Pages the user asked for first, then passages, numbered from 1."""
        found = [*self.pages, *self.passages]
        return tuple(Citation(n=n, **dict(passage)) for n, passage in enumerate(found, start=1))


class Gathering:
    """Asks the other services in parallel; a part that is away or late costs the turn that part only."""

    def __init__(self, bus: Bus, settings: GatewaySettings) -> None:
        self._bus = bus
        self._settings = settings

    async def gather(self, command: StartTurn, *, history_chars: int) -> Gathered:
        """Return what came in time.

        Raises:
            ParleyError: `not_found` when the conversation has been deleted.
        """
        gathered = Gathered(history=command.history or ())
        try:
            async with asyncio.TaskGroup() as tasks:
                if command.continues_conversation and command.history is None:
                    tasks.create_task(self._read_history(command, gathered, history_chars))
                if command.collections is None or command.collections:
                    tasks.create_task(self._retrieve(command, gathered))
                if command.web:
                    tasks.create_task(self._read_pages(command, gathered))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        return gathered

    async def _part(self, name: str, gathered: Gathered, asked: Awaitable[Found]) -> Found | None:
        """Wait for a part; None, and its name in `degraded`, when it is away or late."""
        began_s = time.monotonic()
        try:
            return await asked
        except ParleyError as error:
            if name == "memory" and error.code is ErrorCode.NOT_FOUND:
                raise
            gathered.degraded.add(name)
            return None
        finally:
            gathered.took_ms[name] = (time.monotonic() - began_s) * 1000

    async def _read_history(self, command: StartTurn, gathered: Gathered, max_chars: int) -> None:
        request = ReadHistory(
            owner_id=command.turn.owner_id,
            conversation_id=command.conversation_id,
            max_chars=max_chars,
            before_turn_id=command.turn.turn_id,
        )
        asked = self._bus.request(
            subjects.MEMORY_READ_HISTORY, request, History, timeout_s=self._settings.gateway_history_s
        )
        if found := await self._part("memory", gathered, asked):
            gathered.history = found.messages

    async def _retrieve(self, command: StartTurn, gathered: Gathered) -> None:
        asked = self._bus.request(
            subjects.NPU_EMBED,
            Embed(texts=(command.text,)),
            Embeddings,
            timeout_s=self._settings.gateway_embed_s,
        )
        embedded = await self._part("npu", gathered, asked)
        request = Search(
            owner_id=command.turn.owner_id,
            query=command.text[:10_000],
            vector=embedded.vectors if embedded else None,
            engine=embedded.engine if embedded else None,
            collections=command.collections,
            limit=self._settings.gateway_passages,
        )
        searched = self._bus.request(
            subjects.RAG_SEARCH, request, SearchResults, timeout_s=self._settings.gateway_search_s
        )
        if found := await self._part("rag", gathered, searched):
            gathered.passages = list(found.results)
            gathered.degraded.update(found.degraded)

    async def _read_pages(self, command: StartTurn, gathered: Gathered) -> None:
        addresses = list(dict.fromkeys(_ADDRESS.findall(command.text)))[:MAX_PAGES]
        pages = await asyncio.gather(*(self._read_page(url, command, gathered) for url in addresses))
        gathered.pages = [page for page in pages if page is not None]

    async def _read_page(self, url: str, command: StartTurn, gathered: Gathered) -> Passage | None:
        url = url.rstrip(".,;:!?")
        if len(url) > MAX_URL_CHARS:
            gathered.degraded.add("browser")
            return None
        request = ReadPage(owner_id=command.turn.owner_id, url=url, max_chars=PAGE_CHARS)
        asked = self._bus.request(
            subjects.BROWSER_READ, request, PageText, timeout_s=self._settings.gateway_web_s
        )
        page = await self._part("browser", gathered, asked)
        if page is None or not page.text:
            return None
        document = DocumentRef(id="", name=page.title or page.url, collection="web")
        return Passage(
            text=page.text, score=1.0, document=document, start=0, end=len(page.text), url=page.url
        )
