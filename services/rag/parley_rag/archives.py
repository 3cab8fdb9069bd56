"""Archives: each file in one becomes a document of its own, and the archive is ready when all are through."""

import asyncio
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.rag import MAX_NAME_CHARS, CreateDocument, DocumentStatus
from parley_envelope import Originals
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from parley_rag.database import Database
from parley_rag.documents import UNDER_WAY, Documents, this
from parley_rag.indexing import Stopped
from parley_rag.jobs import Jobs
from parley_rag.load.limits import ReadLimits
from parley_rag.progress import Progress
from parley_rag.reading import ArchiveListing, Member, read_archive
from parley_rag.reading_processes import ReadingProcesses
from parley_rag.tables import ArchiveMemberRow, DocumentRow

_COUNTS = 100  # how often the files of a large archive are counted on the way
_MAX_MEMBER_BYTES = 64 << 20  # what the gateway takes of an upload, unless it is told otherwise


class Archives:
    """Unpacks archives and follows what came in them."""

    def __init__(
        self,
        *,
        database: Database,
        documents: Documents,
        jobs: Jobs,
        progress: Progress,
        originals: Originals,
        limits: ReadLimits,
        processes: ReadingProcesses,
    ) -> None:
        self._database = database
        self._documents = documents
        self._jobs = jobs
        self._progress = progress
        self._originals = originals
        self._limits = limits
        self._processes = processes

    async def unpack(self, archive: DocumentRow, data: bytes) -> None:
        """Make a document of each file in an archive; what an earlier run has made is not made again.

        Raises:
            Stopped: The archive is gone or cancelled.
            UnreadableDocument: It is damaged, or holds too much.
        """
        folder = TemporaryDirectory(prefix="parley-archive-")  # not in a thread: a stop would lose it
        try:
            listing = await read_archive(data, archive.name, self._limits, Path(folder.name), self._processes)
            await self._take_all(archive, listing)
        finally:
            await asyncio.shield(asyncio.to_thread(folder.cleanup))

    async def _take_all(self, archive: DocumentRow, listing: ArchiveListing) -> None:
        async with self._database.writing() as session:
            known = set(
                await session.scalars(
                    select(ArchiveMemberRow.ordinal).where(ArchiveMemberRow.archive_id == archive.id)
                )
            )
            await session.execute(
                update(DocumentRow)
                .where(*this(archive.owner_id, archive.id))
                .values(members=len(listing.members))
            )
        for ordinal, member in enumerate(listing.members):
            if ordinal not in known:
                await self._take(archive, ordinal, member)
        async with self._database.writing() as session:
            await session.execute(
                update(DocumentRow).where(*this(archive.owner_id, archive.id)).values(job_at_ms=None)
            )

    async def _take(self, archive: DocumentRow, ordinal: int, member: Member) -> None:
        """Put a file into the object store and queue its job, then note it: a crash between does it again."""
        data, reason = await _content(member)
        known_by = data if reason is None else f"{archive.sha256}/{ordinal}".encode()
        request = CreateDocument(
            owner_id=archive.owner_id,
            collection=archive.collection,
            name=_member_name(archive, member),
            size_bytes=max(1, member.size_bytes),
            sha256=(await asyncio.to_thread(hashlib.sha256, known_by)).hexdigest(),
            is_sealed=True,
        )
        try:
            document, needs_content = await self._documents.create(request, archive)
        except ParleyError as error:
            if error.code in (ErrorCode.NOT_FOUND, ErrorCode.CANCELLED):
                raise Stopped from error
            raise
        if reason is not None:
            await self._refuse(archive, document.id, reason)
        elif needs_content:
            await self._originals.put(archive.owner_id, document.id, request.sha256, data)
            await self._jobs.publish(archive.owner_id, document.id)
        taken = insert(ArchiveMemberRow).values(
            archive_id=archive.id, ordinal=ordinal, owner_id=archive.owner_id, document_id=document.id
        )
        try:
            async with self._database.writing() as session:
                await session.execute(taken)
        except IntegrityError as error:  # the archive is gone, or somebody else unpacks it too
            raise Stopped from error

    async def _refuse(self, archive: DocumentRow, document_id: str, reason: str) -> None:
        """Let a file that was not unpacked stand among the others with its reason; it has no original."""
        async with self._database.writing() as session:
            await session.execute(
                update(DocumentRow)
                .where(*this(archive.owner_id, document_id))
                .values(status=DocumentStatus.FAILED.value, error=reason, job_at_ms=None, object_key=None)
            )

    # -- following -----------------------------------------------------------------------------------

    async def settle(self, owner_id: str, document_id: str) -> None:
        """Count anew what is through of the archives that a document is, or is in; finish those that are."""
        waiting = [(document_id, 0)]
        while waiting:
            one, ordinal = waiting.pop()
            if await self._settle_one(owner_id, one, ordinal):
                await self._progress.tell(owner_id, one)
            elif one != document_id:
                continue
            waiting += await self._containing(owner_id, one)

    async def _containing(self, owner_id: str, document_id: str) -> list[tuple[str, int]]:
        """Return the archives that a document is in, and its place there."""
        query = (
            select(ArchiveMemberRow.archive_id, func.min(ArchiveMemberRow.ordinal))
            .where(ArchiveMemberRow.owner_id == owner_id, ArchiveMemberRow.document_id == document_id)
            .group_by(ArchiveMemberRow.archive_id)
        )
        async with self._database.reading() as session:
            return [(archive_id, ordinal) for archive_id, ordinal in (await session.execute(query)).all()]

    async def _settle_one(self, owner_id: str, archive_id: str, ordinal: int) -> bool:
        """Return whether it is an archive whose files were counted; with all through it is ready, or failed.

        Of many files not each (`ordinal`) has all of them counted while others are under way.
        """
        async with self._database.writing() as session:
            row = await session.scalar(select(DocumentRow).where(*this(owner_id, archive_id)))
            if row is None or row.members is None:
                return False
            if ordinal % (row.members // _COUNTS + 1) and await _is_under_way(session, archive_id):
                return False
            taken, by_status = await _statuses(session, archive_id)
            open_ = sum(by_status.get(status, 0) for status in UNDER_WAY)
            row.members_done = taken - open_
            is_through = (
                row.members_done == row.members
                and row.chunks_done == row.chunks
                and row.job_at_ms is None
                and row.status != DocumentStatus.CANCELLED
            )
            error = _told(row.members, by_status)
            failed = by_status.get(DocumentStatus.FAILED, 0)
            if is_through and 0 < row.members == failed and not row.chunks:
                row.status, row.error = DocumentStatus.FAILED, error
                is_through = False
        if is_through:
            await self._documents.finish(owner_id, archive_id, error)
        return True


async def _content(member: Member) -> tuple[bytes, str | None]:
    """Return what a file holds, and why it is refused if it is."""
    if member.path is None:
        return b"", member.error or "The file could not be unpacked."
    if member.size_bytes > _MAX_MEMBER_BYTES:
        return b"", f"The file is larger than {_MAX_MEMBER_BYTES} bytes."
    data = await asyncio.to_thread(member.path.read_bytes)
    return data, None if data else "The file is empty."


def _member_name(archive: DocumentRow, member: Member) -> str:
    name = f"{archive.name}/{member.name}"
    return name if len(name) <= MAX_NAME_CHARS else f"...{name[3 - MAX_NAME_CHARS :]}"


async def _is_under_way(session: AsyncSession, archive_id: str) -> bool:
    """Return whether a file of an archive is; the last ones wait longest."""
    query = (
        select(ArchiveMemberRow.ordinal)
        .join(DocumentRow, DocumentRow.id == ArchiveMemberRow.document_id)
        .where(ArchiveMemberRow.archive_id == archive_id, DocumentRow.status.in_(UNDER_WAY))
        .order_by(ArchiveMemberRow.ordinal.desc())
        .limit(1)
    )
    return await session.scalar(query) is not None


async def _statuses(session: AsyncSession, archive_id: str) -> tuple[int, dict[str, int]]:
    """Return how many files of an archive are known, and how many of their documents have each status."""
    taken = await session.scalar(select(func.count()).where(ArchiveMemberRow.archive_id == archive_id))
    counts = (
        select(DocumentRow.status, func.count())
        .join(ArchiveMemberRow, ArchiveMemberRow.document_id == DocumentRow.id)
        .where(ArchiveMemberRow.archive_id == archive_id)
        .group_by(DocumentRow.status)
    )
    return taken or 0, {str(row[0]): row[1] for row in (await session.execute(counts)).all()}


def _told(members: int, by_status: dict[str, int]) -> str | None:
    """Return what people are told of the files of an archive that were not read."""
    failed = by_status.get(DocumentStatus.FAILED, 0)
    cancelled = by_status.get(DocumentStatus.CANCELLED, 0)
    told = [f"{failed} of {members} could not be read."] if failed else []
    if cancelled:
        told.append(f"{cancelled} of {members} {'was' if cancelled == 1 else 'were'} cancelled.")
    return " ".join(told) or None
