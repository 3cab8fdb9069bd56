"""What a turn needs to know before the model is asked: history, passages, web pages, each in its budget."""

import asyncio
import re
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

from parley_contracts import subjects
from parley_contracts.attachments import KeptAttachment
from parley_contracts.browser import MAX_URL_CHARS, PageText, ReadPage
from parley_contracts.citations import DocumentRef, Passage
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.memory import History, ReadHistory
from parley_contracts.model import WireModel
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import Search, SearchResults
from parley_contracts.turns import ChatMessage, StartTurn
from parley_messaging import Bus
from parley_messaging.bus import Reply
from parley_messaging.circuit import Circuits

from parley_gateway.lent_documents import reading_documents
from parley_gateway.settings import GatewaySettings

MAX_PAGES = 3
PAGE_CHARS = 6_000
_ADDRESS = re.compile(r"https?://[^\s<>\"'\])]+")


@dataclass(slots=True)
class Gathered:
    """What came in time, and the names of the parts that did not."""

    history: tuple[ChatMessage, ...] = ()
    attachments: tuple[KeptAttachment, ...] = ()
    passages: list[Passage] = field(default_factory=list[Passage])
    pages: list[Passage] = field(default_factory=list[Passage])
    degraded: set[str] = field(default_factory=set[str])
    took_ms: dict[str, float] = field(default_factory=dict[str, float])
    is_searched: bool = False
    """There were documents, and they were searched."""


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    subject: str
    budget_s: float
    is_insisted_on: bool = False
    """What the turn names is asked for, a conversation or a collection: where it is not, the turn fails."""


def is_complete(command: StartTurn) -> bool:
    """Return whether a turn brings all that its prompt needs, so that nobody has to be asked."""
    return not (_reads_history(command) or _searches(command) or command.web)


def _reads_history(command: StartTurn) -> bool:
    return command.continues_conversation and command.history is None


def _searches(command: StartTurn) -> bool:
    if command.bot is not None:
        # None would be all that the bot's owner has.
        return bool(command.collections)
    return command.collections is None or bool(command.collections)


class Gathering:
    """Asks the other services in parallel; a part that is away or late costs the turn that part only.

    A part that keeps turns waiting is left out at once for a while: a circuit stands before all but browser.
    """

    def __init__(self, bus: Bus, settings: GatewaySettings, circuits: Circuits) -> None:
        self._bus = bus
        self._settings = settings
        self._circuits = circuits

    async def gather(self, command: StartTurn, *, history_chars: int) -> Gathered:
        """Return what came in time.

        Raises:
            ParleyError: `not_found` when the conversation has been deleted, or a collection is not there.
        """
        gathered = Gathered(history=command.history or ())
        try:
            async with asyncio.TaskGroup() as tasks:
                if _reads_history(command):
                    tasks.create_task(self._read_history(command, gathered, history_chars))
                if _searches(command):
                    tasks.create_task(self._retrieve(command, gathered))
                if command.web:
                    tasks.create_task(self._read_pages(command, gathered))
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        return gathered

    async def history(self, command: StartTurn, *, history_chars: int) -> Gathered:
        """Return what was said before alone, for who goes on with a turn that has been gathered for.

        Raises:
            ParleyError: `not_found` when the conversation has been deleted.
        """
        gathered = Gathered(history=command.history or ())
        if _reads_history(command):
            await self._read_history(command, gathered, history_chars)
        return gathered

    async def _ask(
        self, part: _Part, gathered: Gathered, request: WireModel, reply_type: type[Reply]
    ) -> Reply | None:
        """Ask a part; None, and its name in `degraded`, when it is away, late or left out."""
        name, budget_s = part.name, part.budget_s
        began_s = time.monotonic()
        try:
            # A page that is slow says nothing of the browser, and the next turn asks for another one.
            circuit = nullcontext() if name == "browser" else self._circuits.to(name).passing(budget_s)
            with circuit:
                return await self._bus.request(part.subject, request, reply_type, timeout_s=budget_s)
        except ParleyError as error:
            if part.is_insisted_on and error.code is ErrorCode.NOT_FOUND:
                raise
            gathered.degraded.add(name)
            return None
        finally:
            gathered.took_ms[name] = round((time.monotonic() - began_s) * 1000, 1)

    async def _read_history(self, command: StartTurn, gathered: Gathered, max_chars: int) -> None:
        request = ReadHistory(
            owner_id=command.turn.owner_id,
            conversation_id=command.conversation_id,
            max_chars=max_chars,
            before_turn_id=command.turn.turn_id,
        )
        budget_s = self._settings.gateway_history_s
        part = _Part("memory", subjects.MEMORY_READ_HISTORY, budget_s, is_insisted_on=True)
        found = await self._ask(part, gathered, request, History)
        if found:
            gathered.history, gathered.attachments = found.messages, found.attachments

    async def _retrieve(self, command: StartTurn, gathered: Gathered) -> None:
        part = _Part("npu", subjects.NPU_EMBED, self._settings.gateway_embed_s)
        embedded = await self._ask(part, gathered, Embed(texts=(command.text,)), Embeddings)
        request = Search(
            owner_id=command.documents_owner_id,
            query=command.text[:10_000],
            vector=embedded.vectors if embedded else None,
            engine=embedded.engine if embedded else None,
            collections=command.collections,
            limit=self._settings.gateway_passages,
        )
        # Who asks a bot has not named the collection: without it he is answered all the same.
        is_named = command.bot is None
        part = _Part("rag", subjects.RAG_SEARCH, self._settings.gateway_search_s, is_insisted_on=is_named)
        with reading_documents(command):
            found = await self._ask(part, gathered, request, SearchResults)
        if found:
            gathered.passages = list(found.results)
            gathered.is_searched = found.had_documents
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
        part = _Part("browser", subjects.BROWSER_READ, self._settings.gateway_web_s)
        page = await self._ask(part, gathered, request, PageText)
        if page is None or not page.text:
            return None
        document = DocumentRef(id="", name=page.title or page.url, collection="web")
        return Passage(
            text=page.text, score=1.0, document=document, start=0, end=len(page.text), url=page.url
        )
