"""Files that people upload to send with what they ask: made, used, listed and deleted by their owners."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from parley_contracts.attachments import (
    AttachmentCreated,
    AttachmentList,
    CreateAttachment,
    DeleteAttachment,
    FinishAttachment,
    KeptAttachment,
    ListAttachments,
    UseAttachments,
    attachment_id,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.replies import Done
from parley_storage import Database
from sqlalchemy import Connection, exists, func, select, tuple_, update

from parley_memory.attachment_links import kept_attachment
from parley_memory.cursor import PageCursor
from parley_memory.data_rights import is_erased
from parley_memory.removals import Removals, remove_attachments
from parley_memory.settings import MemorySettings
from parley_memory.tables import attachments, message_attachments, removals

_column = attachments.c
_IS_SENT = exists().where(message_attachments.c.attachment_id == _column.id)


@dataclass(frozen=True, slots=True)
class AttachmentBounds:
    """What one owner may have, and for how long what nothing sends is kept."""

    count: int
    size_bytes: int
    lasts_ms: int

    @classmethod
    def of(cls, settings: MemorySettings) -> "AttachmentBounds":
        """Return what the settings say."""
        lasts_ms = int(settings.memory_attachment_hours * 3_600_000)
        return cls(settings.memory_attachments, settings.memory_attachments_bytes, lasts_ms)


def attachment_not_found(field: str = "attachment_id") -> ParleyError:
    """Return the one error for what is missing, removed, not whole, or another owner's."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such attachment.", field=field)


class AttachmentShelf:
    """Every request names its owner, and only that owner's rows are touched."""

    def __init__(self, database: Database, removed: Removals, bounds: AttachmentBounds) -> None:
        self._database = database
        self._removed = removed
        self._bounds = bounds

    async def create(self, request: CreateAttachment) -> AttachmentCreated:
        """Make room for a file, or find the same one.

        Raises:
            ParleyError: `quota_exceeded` when the owner has as much as he may, `not_found` when he is erased.
        """
        known_id = attachment_id(request.owner_id, request.name, request.content_type, request.sha256)

        def create(connection: Connection) -> AttachmentCreated:
            if is_erased(connection, request.owner_id):
                raise ParleyError(ErrorCode.NOT_FOUND, "There is no such user any more.")
            if self._extend(connection, request.owner_id, (known_id,)) == 0:
                self._require_room(connection, request)
                self._insert(connection, known_id, request)
            row = connection.execute(select(attachments).where(_column.id == known_id)).one()
            return AttachmentCreated(
                attachment=kept_attachment(row, is_sent=False), needs_content=not row.is_ready
            )

        return await self._database.write(create)

    async def finish(self, request: FinishAttachment) -> AttachmentCreated:
        """Note that the content is there; that of a row that is gone is removed again."""
        is_it = (
            _column.id == request.attachment_id,
            _column.owner_id == request.owner_id,
            _column.object_id == request.object_id,
        )

        def finish(connection: Connection) -> KeptAttachment | None:
            connection.execute(update(attachments).where(*is_it).values(is_ready=True))
            row = connection.execute(select(attachments).where(*is_it)).one_or_none()
            if row is not None:
                return kept_attachment(row, is_sent=False)
            late = self._database.insert(removals).values(
                object_id=request.object_id, owner_id=request.owner_id
            )
            connection.execute(late.on_conflict_do_nothing())
            return None

        found = await self._database.write(finish)
        if found is None:
            self._removed.wake()
            raise attachment_not_found()
        return AttachmentCreated(attachment=found, needs_content=False)

    async def use(self, request: UseAttachments) -> AttachmentList:
        """Return what is about to be sent, in the order asked for; it lasts as if it were new.

        Raises:
            ParleyError: `not_found` unless all of them are the owner's and whole.
        """
        wanted = tuple(dict.fromkeys(request.attachment_ids))

        def use(connection: Connection) -> Mapping[str, KeptAttachment]:
            self._extend(connection, request.owner_id, wanted)
            query = select(attachments).where(
                _column.id.in_(wanted), _column.owner_id == request.owner_id, _column.is_ready
            )
            rows = connection.execute(query).all()
            return {row.id: kept_attachment(row, is_sent=False) for row in rows}

        found = await self._database.write(use)
        if len(found) < len(wanted):
            raise attachment_not_found("attachments")
        return AttachmentList(attachments=tuple(found[one] for one in wanted))

    async def list(self, request: ListAttachments) -> AttachmentList:
        """Return a page of what is whole, newest first, or the one that is named."""
        query = (
            select(attachments, _IS_SENT.label("is_sent"))
            .where(_column.owner_id == request.owner_id, _column.is_ready)
            .order_by(_column.created_at_ms.desc(), _column.id.desc())
            .limit(request.limit + 1)
        )
        if request.attachment_id is not None:
            query = query.where(_column.id == request.attachment_id)
        if request.cursor is not None:
            cursor = PageCursor.decode(request.cursor)
            here = tuple_(_column.created_at_ms, _column.id)
            query = query.where(here < tuple_(cursor.at_ms, cursor.row_id))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        if request.attachment_id is not None and not rows:
            raise attachment_not_found()
        page = rows[: request.limit]
        last = page[-1] if len(rows) > len(page) else None
        return AttachmentList(
            attachments=tuple(kept_attachment(row, is_sent=row.is_sent) for row in page),
            next_cursor=None if last is None else PageCursor(last.created_at_ms, last.id).encode(),
        )

    async def delete(self, request: DeleteAttachment) -> Done:
        """Remove a file, also from the questions that it was sent with; `not_found` if it is not theirs."""

        def remove(connection: Connection) -> int:
            query = select(_column.id).where(
                _column.id == request.attachment_id, _column.owner_id == request.owner_id
            )
            return remove_attachments(connection, connection.execute(query).scalars().all())

        if not await self._database.write(remove):
            raise attachment_not_found()
        self._removed.wake()
        return Done()

    def _extend(self, connection: Connection, owner_id: str, ids: tuple[str, ...]) -> int:
        """Have attachments last as if they were new; return how many there are."""
        expires_at_ms = self._removed.now_ms + self._bounds.lasts_ms
        theirs = (_column.id.in_(ids), _column.owner_id == owner_id)
        return connection.execute(
            update(attachments).where(*theirs).values(expires_at_ms=expires_at_ms)
        ).rowcount

    def _require_room(self, connection: Connection, request: CreateAttachment) -> None:
        sums = select(func.count(), func.coalesce(func.sum(_column.size_bytes), 0))
        row = connection.execute(sums.where(_column.owner_id == request.owner_id)).one()
        if row[0] >= self._bounds.count or row[1] + request.size_bytes > self._bounds.size_bytes:
            message = "You have as many attachments as you may: delete some, or their conversations."
            raise ParleyError(ErrorCode.QUOTA_EXCEEDED, message, retryable=False, field="file")

    def _insert(self, connection: Connection, new_id: str, request: CreateAttachment) -> None:
        now_ms = self._removed.now_ms
        connection.execute(
            self._database.insert(attachments)
            .values(
                id=new_id,
                owner_id=request.owner_id,
                object_id=uuid4().hex,
                name=request.name,
                content_type=request.content_type,
                size_bytes=request.size_bytes,
                sha256=request.sha256,
                is_ready=False,
                created_at_ms=now_ms,
                expires_at_ms=now_ms + self._bounds.lasts_ms,
            )
            .on_conflict_do_nothing()
        )
