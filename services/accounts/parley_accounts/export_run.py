"""One export: pages of every service and the uploads go into a file, which goes into the object store.

It is begun anew when its process dies: until the file is whole nothing of it is kept.
"""

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import IO, BinaryIO

from parley_contracts import subjects
from parley_contracts.data_rights import DataJobState, ExportedOriginal, ExportPage, ExportUser, export_key
from parley_contracts.errors import ErrorCode, ParleyError
from parley_envelope import ExportFiles, Originals
from parley_messaging import Bus
from parley_messaging.acting import acting_for, system_of
from parley_storage import Database
from sqlalchemy import Connection

from parley_accounts.account_rows import read_account_page
from parley_accounts.data_jobs import DataJobs, LeasedJob, LeaseLostError
from parley_accounts.erasure_run import PART_S, waiting_for
from parley_accounts.export_archive import ExportArchive
from parley_accounts.notices.notices import Notices

_ASKED = {"memory": subjects.MEMORY_EXPORT_USER, "rag": subjects.RAG_EXPORT_USER}
_IN_MEMORY_BYTES = 1024**2


class ExportRun:
    """Makes the file of an export."""

    def __init__(
        self,
        bus: Bus,
        originals: Originals,
        files: ExportFiles,
        database: Database,
        *,
        jobs: DataJobs,
        told: Notices,
        lasts_ms: int,
        max_bytes: int,
    ) -> None:
        self._bus = bus
        self._originals = originals
        self._files = files
        self._database = database
        self._jobs = jobs
        self._told = told
        self._lasts_ms = lasts_ms
        self._max_bytes = max_bytes

    async def run(self, job: LeasedJob) -> None:
        """Make the file and end the job; the files of earlier exports go."""
        job.report = job.report.model_copy(update={"counts": {}, "missing": ()})
        with tempfile.TemporaryFile() as file:
            size_bytes = await self._fill(job, file)
            file.seek(0)
            try:
                await self._put(job, file)
                await self._database.write(lambda connection: self._finish(connection, job, size_bytes))
            except (LeaseLostError, asyncio.CancelledError):
                # It may have ended meanwhile, and what was on its way arrive behind all who remove.
                with contextlib.suppress(ParleyError):
                    await self._jobs.note_file_left(job.id, export_key(job.id))
                raise
        for earlier in await self._jobs.exports_of(job.user_id, but_job_id=job.id):
            if earlier.object_key is None:
                continue
            await self._files.delete(earlier.id)
            await self._jobs.note_file_gone(earlier.id)

    async def _put(self, job: LeasedJob, file: BinaryIO) -> None:
        # Noted first: whatever becomes of the job, what it leaves is found and removed.
        await self._jobs.note(job, object_key=export_key(job.id))
        try:
            await self._files.put(job.user_id, job.id, file)
        except ParleyError as error:
            raise waiting_for("the object store", error) from error

    def _finish(self, connection: Connection, job: LeasedJob, size_bytes: int) -> None:
        # First, since it locks the user's row: an erasure locks that before his jobs.
        self._told.tell_export(connection, job.user_id, job.id)
        self._jobs.end_in(
            connection,
            job,
            DataJobState.DONE,
            size_bytes=size_bytes,
            expires_at_ms=self._jobs.now_ms() + self._lasts_ms,
        )

    async def _fill(self, job: LeasedJob, file: BinaryIO) -> int:
        archive = await asyncio.to_thread(ExportArchive, file, max_bytes=self._max_bytes)
        try:
            with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, mode="w+") as originals:
                await self._add_records(job, archive, originals)
                originals.seek(0)
                for line in originals:
                    await self._add_original(job, archive, ExportedOriginal.model_validate_json(line))
            about = {"export": job.id, "user": job.user_id, "made_at_ms": self._jobs.now_ms()}
            return await asyncio.to_thread(archive.close, about, job.report.missing)
        finally:
            archive.discard()

    async def _add_records(self, job: LeasedJob, archive: ExportArchive, originals: IO[str]) -> None:
        """Add the rows of every service, and write down which uploads there are."""
        await self._add_account(job, archive)
        for service in _ASKED:
            async for page in self._pages(job, service):
                records = [(record.kind, record.line) for record in page.records]
                await asyncio.to_thread(archive.add_records, records)
                _count(job, service, records)
                originals.writelines(f"{one.model_dump_json()}\n" for one in page.originals)

    async def _add_account(self, job: LeasedJob, archive: ExportArchive) -> None:
        cursor: str | None = None
        while True:
            read = partial(read_account_page, user_id=job.user_id, cursor=cursor)
            page = await self._database.read(read)
            await asyncio.to_thread(archive.add_records, page.lines)
            _count(job, "accounts", page.lines)
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _pages(self, job: LeasedJob, service: str) -> AsyncGenerator[ExportPage]:
        cursor: str | None = None
        while True:
            request = ExportUser(owner_id=job.user_id, cursor=cursor)
            try:
                with acting_for(system_of(job.user_id)):
                    page = await self._bus.request(_ASKED[service], request, ExportPage, timeout_s=PART_S)
            except ParleyError as error:
                raise waiting_for(service, error) from error
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _add_original(self, job: LeasedJob, archive: ExportArchive, original: ExportedOriginal) -> None:
        with tempfile.TemporaryFile() as content:
            try:
                await self._fetch(job, original, content)
            except ParleyError as error:
                # What is not there or does not open is told as missing: trying again changes nothing.
                if error.code not in (ErrorCode.NOT_FOUND, ErrorCode.INTERNAL):
                    raise waiting_for("the object store", error) from error
                missing = (*job.report.missing, original.document_id)
                job.report = job.report.model_copy(update={"missing": missing})
                return
            content.seek(0)
            await asyncio.to_thread(archive.add_original, original.document_id, original.name, content)
            job.count("rag", {"uploads": 1})

    async def _fetch(self, job: LeasedJob, original: ExportedOriginal, into: BinaryIO) -> None:
        if not original.is_sealed:
            try:
                await self._bus.objects.fetch(original.key, into)
                return
            except ParleyError as error:
                # It may have been sealed since its row was told.
                if error.code is not ErrorCode.NOT_FOUND:
                    raise
        place = (job.user_id, original.document_id, original.sha256)
        content = await self._originals.open(*place, is_sealed=True)
        async for piece in self._originals.opened(content):
            await asyncio.to_thread(into.write, piece)


def _count(job: LeasedJob, service: str, records: Sequence[tuple[str, str]]) -> None:
    job.count(service, Counter(kind for kind, _ in records))
