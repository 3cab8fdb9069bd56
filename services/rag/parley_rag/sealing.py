"""Originals that are stored as they came are sealed, one by one, while everything goes on.

First the sealed form stands beside the plain one, then the row names it, then the plain one goes: whoever
has read the row before finds what it says for one more sweep.
"""

import asyncio
import hashlib
import logging

from parley_contracts.errors import ErrorCode, ParleyError
from parley_envelope import Originals
from sqlalchemy import select, update

from parley_rag.database import Database
from parley_rag.documents import this
from parley_rag.measures import Measures
from parley_rag.tables import DocumentRow, OriginalForm

_log = logging.getLogger("parley.rag")
_SWEEP_S = 30.0
_AT_ONCE = 50


class Sealing:
    """Seals what an earlier version has stored."""

    def __init__(self, database: Database, originals: Originals, measures: Measures) -> None:
        self._database = database
        self._originals = originals
        self._measures = measures
        self._left_alone: set[str] = set()

    async def run(self) -> None:
        """Seal what is plain, from time to time, until cancelled."""
        while True:
            try:
                more = await self.sweep() == _AT_ONCE
            except ParleyError as error:
                _log.warning("sealing is postponed", extra={"error": error.message})
                more = False
            except Exception:  # noqa: BLE001 - the boundary of the loop: the next sweep may pass
                _log.exception("sealing failed")
                more = False
            await asyncio.sleep(0 if more else _SWEEP_S)

    async def sweep(self) -> int:
        """Remove what was sealed in an earlier sweep, then seal some more; return how many.

        Raises:
            ParleyError: `unavailable` when the store or the keys are away.
        """
        for row in await self._rows(OriginalForm.BOTH):
            await self._originals.delete_plain(row.owner_id, row.id)
            await self._become(row, OriginalForm.SEALED)
        found = 0
        for row in await self._rows(OriginalForm.PLAIN):
            await self._originals.make_ready()
            found += await self._seal(row)
        return found

    async def _rows(self, form: OriginalForm) -> list[DocumentRow]:
        """Return documents that nobody works on."""
        query = (
            select(DocumentRow)
            .where(DocumentRow.original_form == form.value, DocumentRow.object_key.is_not(None))
            .where(DocumentRow.job_at_ms.is_(None), DocumentRow.id.not_in(self._left_alone))
            .limit(_AT_ONCE)
        )
        async with self._database.reading() as session:
            return list(await session.scalars(query))

    async def _seal(self, row: DocumentRow) -> bool:
        try:
            plain = await self._originals.get(row.owner_id, row.id, row.sha256, is_sealed=False)
        except ParleyError as error:
            if error.code not in (ErrorCode.NOT_FOUND, ErrorCode.INTERNAL):
                raise
            plain = None
        if plain is None or (await asyncio.to_thread(hashlib.sha256, plain)).hexdigest() != row.sha256:
            self._leave_alone(row)
            return False
        await self._originals.put(row.owner_id, row.id, row.sha256, plain)
        if await self._become(row, OriginalForm.BOTH):
            return True
        if await self._is_gone(row):
            await self._originals.delete(row.owner_id, row.id)
        return False

    def _leave_alone(self, row: DocumentRow) -> None:
        """Go on without an original that cannot be read: it would hold up all others."""
        self._left_alone.add(row.id)
        self._measures.unreadable_originals.set(len(self._left_alone))
        _log.warning("an original is not there or damaged", extra={"document_id": row.id})

    async def _become(self, row: DocumentRow, form: OriginalForm) -> bool:
        """Note how an original is stored now, unless that has changed since it was looked at."""
        is_as_seen = DocumentRow.original_form == row.original_form
        async with self._database.writing() as session:
            changed = await session.scalar(
                update(DocumentRow)
                .where(*this(row.owner_id, row.id), is_as_seen)
                .values(original_form=form.value)
                .returning(DocumentRow.id)
            )
        return changed is not None

    async def _is_gone(self, row: DocumentRow) -> bool:
        async with self._database.reading() as session:
            found = await session.scalar(select(DocumentRow.id).where(*this(row.owner_id, row.id)))
        return found is None
