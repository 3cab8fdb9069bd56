"""Reads a document, its scanned pages by what npu recognises on them; what is recognised is kept."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from parley_contracts import subjects
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.npu import MAX_IMAGE_BYTES, Recognise, RecognisedText
from parley_contracts.rag import Language
from parley_messaging import Bus
from sqlalchemy import insert, select

from parley_rag.database import Database
from parley_rag.documents import Documents
from parley_rag.indexing import Stopped
from parley_rag.load.extraction import ScannedDocument, UnreadableDocument, storable
from parley_rag.load.limits import ReadLimits
from parley_rag.reading import ReadText, read_document, render_pages
from parley_rag.reading_processes import ReadingProcesses
from parley_rag.tables import DocumentRow, PageTextRow

_log = logging.getLogger("parley.rag")
_PAGE_S = 60.0
_MOST_PAGES = 500  # at a second a page; those after stay pictures
_TEXT_OF_A_PAGE = "page.txt"  # what was read from the web is text, whatever its address ends in
_AWAY = (ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT)
_CODES = {
    Language.ARABIC: "ara",
    Language.BASQUE: "eus",
    Language.CATALAN: "cat",
    Language.DANISH: "dan",
    Language.DUTCH: "nld",
    Language.ENGLISH: "eng",
    Language.FINNISH: "fin",
    Language.FRENCH: "fra",
    Language.GERMAN: "deu",
    Language.GREEK: "ell",
    Language.HUNGARIAN: "hun",
    Language.INDONESIAN: "ind",
    Language.ITALIAN: "ita",
    Language.NORWEGIAN: "nor",
    Language.PORTUGUESE: "por",
    Language.ROMANIAN: "ron",
    Language.RUSSIAN: "rus",
    Language.SPANISH: "spa",
    Language.SWEDISH: "swe",
    Language.TURKISH: "tur",
}


class Recognition:
    """Turns originals into text."""

    def __init__(
        self,
        database: Database,
        documents: Documents,
        bus: Bus,
        limits: ReadLimits,
        processes: ReadingProcesses,
    ) -> None:
        self._database = database
        self._documents = documents
        self._bus = bus
        self._limits = limits
        self._processes = processes

    async def read(self, document: DocumentRow, original: bytes) -> ReadText:
        """Return what a document says; scanned pages that cannot be recognised now are left out.

        Raises:
            UnreadableDocument: It cannot be read, or holds nothing but scans and those cannot be recognised.
            Stopped: The document is gone.
        """
        name = _TEXT_OF_A_PAGE if document.source_url else document.name
        known = await self._known(document)
        try:
            read = await read_document(original, name, self._limits, known, self._processes)
            scanned = read.scanned_pages
        except ScannedDocument as error:
            read, scanned = error, error.pages
        missing = [page for page in scanned if page not in known][: max(0, _MOST_PAGES - len(known))]
        found = await self._recognise(document, original, missing) if missing else {}
        if found:
            return await read_document(original, name, self._limits, {**known, **found}, self._processes)
        if isinstance(read, ScannedDocument):
            raise read
        return read

    async def _known(self, document: DocumentRow) -> dict[int, str]:
        query = select(PageTextRow.page, PageTextRow.text).where(
            PageTextRow.owner_id == document.owner_id, PageTextRow.document_id == document.id
        )
        async with self._database.reading() as session:
            return {row.page: row.text for row in (await session.execute(query)).all()}

    async def _recognise(
        self, document: DocumentRow, original: bytes, pages: Sequence[int]
    ) -> dict[int, str]:
        """Return the text of pages as far as it can be had; what is had is kept at once."""
        languages = await self._languages(document)
        found: dict[int, str] = {}
        try:
            # Left early, the process that draws is ended at once.
            async with aclosing(render_pages(original, pages, self._limits, self._processes)) as drawn:
                async for page, picture in drawn:
                    if len(picture) > MAX_IMAGE_BYTES:
                        continue
                    text = await self._text_on(picture, languages)
                    if text is None:
                        break
                    found[page] = text
                    await self._keep(document, page, text)
        except UnreadableDocument as error:
            _log.warning("page not drawn", extra={"document_id": document.id, "reason": str(error)})
        return found

    async def _languages(self, document: DocumentRow) -> tuple[str, ...]:
        language = _CODES[Language(await self._documents.language(document))]
        return tuple(dict.fromkeys((language, "eng")))

    async def _text_on(self, picture: bytes, languages: tuple[str, ...]) -> str | None:
        """Return the text on a picture; None when nothing recognises pages now."""
        try:
            reply = await self._bus.request(
                subjects.NPU_RECOGNISE,
                Recognise(image=picture, languages=languages),
                RecognisedText,
                timeout_s=_PAGE_S,
            )
        except ParleyError as error:
            if error.code is ErrorCode.OVERLOADED:  # the job is tried again, and goes on with the next page
                raise
            log = _log.info if error.code in _AWAY else _log.warning
            log("scanned page not recognised", extra={"code": error.code})
            return None if error.code in _AWAY else ""
        return await asyncio.to_thread(storable, reply.text)

    async def _keep(self, document: DocumentRow, page: int, text: str) -> None:
        async with self._database.writing() as session:
            if await session.get(DocumentRow, document.id) is None:
                raise Stopped
            if await session.get(PageTextRow, (document.id, page)) is None:
                await session.execute(
                    insert(PageTextRow).values(
                        document_id=document.id, page=page, owner_id=document.owner_id, text=text
                    )
                )
