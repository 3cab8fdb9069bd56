"""What a user sees of his notices, and the ways in which he chose to be told."""

import base64
import json
from dataclasses import replace
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import (
    ChangeNoticeSettings,
    ListNotices,
    MarkNoticesRead,
    NoticeChanged,
    NoticeList,
    NoticeSetting,
    NoticeSettings,
    NoticesRead,
    ReadNoticeSettings,
)
from parley_contracts.policy import Permission
from parley_storage import Database
from sqlalchemy import Connection, and_, case, or_, select, update

from parley_accounts.acting import find_user, require_actor
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.notices.kinds import RULES
from parley_accounts.notices.notices import Notices, Ways, chosen_ways, described, unread_of
from parley_accounts.notices.tables import notice_settings, notices
from parley_accounts.outbox import add_event

_IS_READ: Any = case((notices.c.read_at_ms.is_(None), 0), else_=1)


def _place(row: Any) -> str:
    told = [int(row.read_at_ms is not None), row.at_ms, row.id]
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode()


def _read_place(cursor: str) -> tuple[int, int, str]:
    try:
        is_read, at_ms, notice_id = json.loads(base64.urlsafe_b64decode(cursor))
        if type(is_read) is int and type(at_ms) is int and type(notice_id) is str and abs(at_ms) < 2**53:
            return is_read, at_ms, notice_id
    except (ValueError, TypeError):
        pass
    raise ParleyError(ErrorCode.INVALID_REQUEST, "cursor: this is none of ours.", field="cursor")


class NoticeBoard:
    """Lists notices, marks them as read, and keeps settings; everybody's own."""

    def __init__(self, database: Database, told: Notices, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._notices = told
        self._clock = clock

    async def list(self, request: ListNotices) -> NoticeList:
        """Return a page, the unread first."""
        after = None if request.cursor is None else _read_place(request.cursor)

        def read(connection: Connection) -> NoticeList:
            actor = require_actor(connection, request, Permission.ACCOUNT_READ)
            query = select(notices).where(notices.c.user_id == actor.id, notices.c.is_shown)
            if request.unread_only:
                query = query.where(notices.c.read_at_ms.is_(None))
            if after is not None:
                query = query.where(_comes_after(*after))
            ordered = query.order_by(_IS_READ, notices.c.at_ms.desc(), notices.c.id.desc())
            rows = connection.execute(ordered.limit(request.limit + 1)).all()
            page = rows[: request.limit]
            return NoticeList(
                notices=tuple(described(row) for row in page),
                unread=unread_of(connection, actor.id),
                next_cursor=_place(page[-1]) if len(rows) > len(page) else None,
            )

        return await self._database.read(read)

    async def mark_read(self, request: MarkNoticesRead) -> NoticesRead:
        """Mark some, or all, as read."""

        def mark(connection: Connection) -> NoticesRead:
            actor = require_actor(connection, request, Permission.ACCOUNT_WRITE)
            now_ms = self._clock()
            is_unread = and_(
                notices.c.user_id == actor.id, notices.c.is_shown, notices.c.read_at_ms.is_(None)
            )
            marking = update(notices).where(is_unread).values(read_at_ms=now_ms)
            if request.ids is not None:
                marking = marking.where(notices.c.id.in_(request.ids))
            changed = connection.execute(marking).rowcount
            if changed:
                add_event(connection, NoticeChanged(user_id=actor.id), now_ms)
            return NoticesRead(changed=changed, unread=unread_of(connection, actor.id))

        return await self._database.write(mark)

    async def read_settings(self, request: ReadNoticeSettings) -> NoticeSettings:
        """Return in which ways one is told."""

        def read(connection: Connection) -> NoticeSettings:
            actor = require_actor(connection, request, Permission.ACCOUNT_READ)
            return self._settings(connection, actor.id)

        return await self._database.read(read)

    async def change_settings(self, request: ChangeNoticeSettings) -> NoticeSettings:
        """Be told in other ways."""

        def change(connection: Connection) -> NoticeSettings:
            actor = require_actor(connection, request, Permission.ACCOUNT_WRITE)
            find_user(connection, actor.id, locks=True)
            ways = chosen_ways(connection, actor.id)
            for choice in request.choices:
                wanted = choice.model_dump(exclude={"kind"}, exclude_none=True)
                ways[choice.kind] = replace(ways[choice.kind], **wanted)
                self._keep(connection, actor.id, choice.kind, ways[choice.kind])
            return self._settings(connection, actor.id)

        return await self._database.write(change)

    def _keep(self, connection: Connection, user_id: str, kind: str, ways: Ways) -> None:
        values = {"in_app": ways.in_app, "mail": ways.mail, "webhook": ways.webhook}
        row = self._database.insert(notice_settings).values(user_id=user_id, kind=kind, **values)
        connection.execute(row.on_conflict_do_update(index_elements=["user_id", "kind"], set_=values))

    def _settings(self, connection: Connection, user_id: str) -> NoticeSettings:
        user = find_user(connection, user_id)
        return NoticeSettings(
            settings=tuple(
                NoticeSetting(
                    kind=kind,
                    in_app=ways.in_app,
                    mail=ways.mail,
                    webhook=ways.webhook,
                    is_always_mailed=RULES[kind].is_always_mailed,
                )
                for kind, ways in chosen_ways(connection, user_id).items()
            ),
            can_mail=user is not None and self._notices.may_mail(user),
        )


def _comes_after(is_read: int, at_ms: int, notice_id: str) -> Any:
    is_older = or_(notices.c.at_ms < at_ms, and_(notices.c.at_ms == at_ms, notices.c.id < notice_id))
    return or_(is_read < _IS_READ, and_(is_read == _IS_READ, is_older))
