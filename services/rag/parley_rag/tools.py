"""The tools that this service answers: a search, a file's text, a question about a table."""

from dataclasses import replace

from parley_contracts import subjects
from parley_contracts.citations import Passage
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import MAX_NAME_CHARS, Search
from parley_contracts.tool_calls import CallTool, ToolResult
from parley_envelope import Originals
from parley_messaging import Service
from parley_messaging.tool_arguments import ToolArguments
from parley_messaging.tool_offers import ToolOffers
from pydantic import Field

from parley_rag.documents import Documents
from parley_rag.files import Files
from parley_rag.load.extraction import UnreadableDocument
from parley_rag.load.limits import ReadLimits
from parley_rag.passages import Passages
from parley_rag.reading_processes import ReadingProcesses
from parley_rag.searching import Searching
from parley_rag.table_reading import RefusedQuery, query_table

MAX_READ_CHARS = 20_000
MAX_SQL_CHARS = 10_000
MAX_TABLE_BYTES = 64 << 20
_TABLE_S = 20.0
_TABLE_MEMORY_BYTES = 1 << 30
_TABLES_AT_ONCE = 2


class SearchKnowledge(ToolArguments):
    """What is looked for."""

    query: str = Field(min_length=1, max_length=10_000, description="A question, or words that stand in it.")
    limit: int = Field(default=6, ge=1, le=20, description="How many passages.")


class ReadFile(ToolArguments):
    """What is to be read of which file."""

    file: str = Field(min_length=1, max_length=MAX_NAME_CHARS, description="Its name.")
    start: int = Field(default=0, ge=0, le=2**31 - 1, description="From which character on.")
    max_chars: int = Field(default=8_000, ge=1, le=MAX_READ_CHARS)


class AnalyseTable(ToolArguments):
    """What is asked of which table."""

    file: str = Field(
        min_length=1, max_length=MAX_NAME_CHARS, description="Name of a CSV, TSV, XLSX, ODS or XLS file."
    )
    sql: str = Field(
        default="",
        max_length=MAX_SQL_CHARS,
        description="One SELECT in SQLite's dialect. Without it: the names of tables and columns.",
    )


class RagTools:
    """What models may do with the documents of whom a call is made for."""

    def __init__(
        self,
        searching: Searching,
        documents: Documents,
        passages: Passages,
        originals: Originals,
        *,
        limits: ReadLimits,
        processes: ReadingProcesses,
    ) -> None:
        self._searching = searching
        self._documents = documents
        self._files = Files(documents)
        self._passages = passages
        self._originals = originals
        self._limits = replace(limits, timeout_s=_TABLE_S, memory_bytes=_TABLE_MEMORY_BYTES)
        self._processes = processes

    async def search_knowledge(self, call: CallTool) -> ToolResult:
        """Return the best passages, each with where it stands."""
        asked = SearchKnowledge.read(call.arguments)
        if call.collections == ():
            return ToolResult(text="There are no documents.")
        request = Search(
            owner_id=call.owner_id, query=asked.query, collections=call.collections, limit=asked.limit
        )
        found = await self._searching.search(request)
        return ToolResult(text="\n\n".join(map(_passage, found.results)) or "Nothing was found.")

    async def read_file(self, call: CallTool) -> ToolResult:
        """Return a part of a file's text, and where it ends."""
        asked = ReadFile.read(call.arguments)
        document = await self._files.named(call.owner_id, asked.file, call.collections)
        end = asked.start + asked.max_chars
        span = await self._passages.span(call.owner_id, document.id, asked.start, end, 1)
        if span is None:
            raise ParleyError(ErrorCode.CONFLICT, "The file has not been read yet.", field="file")
        if not span.text:
            raise ParleyError(ErrorCode.INVALID_REQUEST, "start: lies behind the text's end.", field="start")
        more = f"\n(The text goes on at character {end}.)" if span.after else ""
        return ToolResult(text=f"{document.name}:\n{span.text}{more}")

    async def analyse_table(self, call: CallTool) -> ToolResult:
        """Return what a question about a table comes to, as CSV."""
        asked = AnalyseTable.read(call.arguments)
        document = await self._files.named(call.owner_id, asked.file, call.collections)
        if document.size_bytes > MAX_TABLE_BYTES:
            raise ParleyError(ErrorCode.TOO_LARGE, "The file is too large for this.", field="file")
        original = await self._original(call.owner_id, document.id)
        try:
            answer = await query_table(original, document.name, asked.sql, self._limits, self._processes)
        except (UnreadableDocument, RefusedQuery) as error:
            return ToolResult(text=str(error), is_error=True)
        return ToolResult(text=answer)

    async def _original(self, owner_id: str, document_id: str) -> bytes:
        row = await self._documents.row(owner_id, document_id)
        try:
            return await self._originals.get(owner_id, row.id, row.sha256, is_sealed=row.is_sealed)
        except ParleyError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            message = "The file's original is not kept: only its text can be read."
            raise ParleyError(ErrorCode.CONFLICT, message, field="file") from None


def _passage(passage: Passage) -> str:
    place = [passage.document.name]
    if passage.page is not None:
        place.append(f"page {passage.page}")
    if passage.heading:
        place.append(passage.heading)
    return f"({', '.join(place)})\n{passage.text}"


async def offer_tools(service: Service, tools: RagTools) -> None:
    """Offer what this service can do for models."""
    offers = ToolOffers(service.bus, service.name)
    spec = SearchKnowledge.spec("search_knowledge", "Searches the user's documents by meaning and by words.")
    offers.add(subjects.TOOL_SEARCH_KNOWLEDGE, spec, tools.search_knowledge, concurrency=16)
    spec = ReadFile.spec("read_file", "Reads the text of one of the user's files, piece by piece.")
    offers.add(subjects.TOOL_READ_FILE, spec, tools.read_file)
    described = "Answers a question in SQL about a table that the user has uploaded."
    spec = AnalyseTable.spec("analyse_table", described)
    offers.add(subjects.TOOL_ANALYSE_TABLE, spec, tools.analyse_table, concurrency=_TABLES_AT_ONCE)
    await offers.start()
    service.spawn(offers.run)
