"""Sessions end: the rows of a user's or a key's, and what the gateways have to be told of it."""

from parley_contracts.credentials import RevokedKind
from sqlalchemy import ColumnElement, Connection, select, update

from parley_accounts.revocations import Revocations
from parley_accounts.tables import sessions

_IS_OPEN = sessions.c.ended_at_ms.is_(None)


def end_sessions_of_user(
    connection: Connection,
    revocations: Revocations,
    user_id: str,
    now_ms: int,
    *,
    but_session_id: str | None = None,
) -> None:
    """End all sessions of a user, whose row is locked, and refuse the access tokens that are about."""
    if but_session_id is not None:
        is_other = (sessions.c.user_id == user_id) & (sessions.c.id != but_session_id)
        _end_each(connection, revocations, is_other, now_ms)
        return
    connection.execute(
        update(sessions).where(sessions.c.user_id == user_id, _IS_OPEN).values(ended_at_ms=now_ms)
    )
    revocations.add(connection, RevokedKind.USER, user_id)


def end_sessions_of_key(connection: Connection, revocations: Revocations, key_id: str, now_ms: int) -> None:
    """End the sessions that an API key has opened."""
    _end_each(connection, revocations, sessions.c.key_id == key_id, now_ms)


def end_session(connection: Connection, revocations: Revocations, session_id: str, now_ms: int) -> None:
    """End one session; one that has ended stays as it is."""
    _end_each(connection, revocations, sessions.c.id == session_id, now_ms)


def _end_each(
    connection: Connection, revocations: Revocations, which: "ColumnElement[bool]", now_ms: int
) -> None:
    ids = connection.execute(select(sessions.c.id).where(which, _IS_OPEN).with_for_update()).scalars().all()
    for session_id in ids:
        connection.execute(update(sessions).where(sessions.c.id == session_id).values(ended_at_ms=now_ms))
        revocations.add(connection, RevokedKind.SESSION, session_id)
