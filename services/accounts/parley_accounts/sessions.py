"""Sessions and their tokens: opened, refreshed by tokens of one use each, and ended."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from uuid import uuid4

from parley_contracts.accounts import (
    EndSession,
    EndSessions,
    ListSessions,
    RefreshSession,
    Session,
    SessionList,
    SessionTokens,
    UserState,
)
from parley_contracts.credentials import AUDIENCE, AccessClaims, CheckSession, KnownPrincipal
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role
from parley_identity import sign_access_token
from parley_storage import Database
from sqlalchemy import Connection, insert, select, update

from parley_accounts.acting import UserRow, described, find_user, require_actor, require_target
from parley_accounts.audit_writes import note_reuse
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.granting import granted_beyond
from parley_accounts.installation import read_issuer
from parley_accounts.metrics import AccountsMetrics
from parley_accounts.notices.places import Places
from parley_accounts.opaque_secrets import REFRESH_PREFIX, hashed, new_secret, open_by, seal_by
from parley_accounts.revocations import Revocations
from parley_accounts.session_rows import end_session, end_sessions_of_user
from parley_accounts.signing_keys import SigningKeys
from parley_accounts.tables import refresh_tokens, sessions, users

_DAY_MS = 86_400_000
_NOTED_EVERY_MS = 60_000
"""How often at most it is noted that a session is used without its refresh token."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long things last, and how many there are."""

    access_token_s: int = 600
    refresh_days: float = 30
    session_days: float = 180
    grace_s: float = 10.0
    per_user: int = 50


class Refreshed(StrEnum):
    """What became of a refresh token that was shown."""

    ROTATED = "rotated"
    REPEATED = "repeated"
    REUSED = "reused"
    REFUSED = "refused"


Tokens = tuple[Refreshed, SessionTokens | None]


class Sessions:
    """Issues tokens; whatever is wrong with a refresh token is told in the same words."""

    def __init__(
        self,
        database: Database,
        keys: SigningKeys,
        revocations: Revocations,
        metrics: AccountsMetrics,
        *,
        limits: SessionLimits,
        places: Places,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._keys = keys
        self._revocations = revocations
        self._metrics = metrics
        self._limits = limits
        self._places = places
        self._clock = clock

    def open(
        self,
        connection: Connection,
        user: UserRow,
        *,
        client: str,
        address: str | None = None,
        key_id: str | None = None,
        identity_id: str | None = None,
        until_ms: int | None = None,
    ) -> SessionTokens:
        """Open a session of a user, whose row is locked; the one unused longest makes room for it.

        `until_ms` is when what he came in by expires: no session outlives that.
        """
        now_ms, session_id = self._clock(), secrets.token_hex(16)
        self._make_room(connection, user.id, now_ms)
        expires_at_ms = now_ms + round(self._limits.session_days * _DAY_MS)
        if until_ms is not None:
            expires_at_ms = min(expires_at_ms, until_ms)
        connection.execute(
            insert(sessions).values(
                id=session_id,
                user_id=user.id,
                key_id=key_id,
                identity_id=identity_id,
                client=client,
                created_at_ms=now_ms,
                last_used_at_ms=now_ms,
                expires_at_ms=expires_at_ms,
            )
        )
        self._places.note(connection, user.id, session_id=session_id, client=client, address=address)
        token, token_until_ms = self._add_token(connection, session_id, expires_at_ms, now_ms)
        return self._tokens(connection, user, session_id, token, token_until_ms)

    async def refresh(self, request: RefreshSession) -> SessionTokens:
        """Return the next tokens; `unauthenticated` when there are none, and the session may have ended."""
        outcome, tokens = await self._database.write(partial(self._refresh, token=request.refresh_token))
        self._metrics.count_refresh(outcome)
        if tokens is None:
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The session has ended; log in again.")
        return tokens

    async def check(self, request: CheckSession) -> KnownPrincipal:
        """Return whose an open session is; `unauthenticated` when it is not open."""
        of_user = select(sessions, users.c.role, users.c.state).select_from(sessions.join(users))
        query = of_user.where(sessions.c.id == request.session_id)

        def read(connection: Connection) -> tuple[UserRow | None, tuple[Permission, ...]]:
            row = connection.execute(query).one_or_none()
            return row, () if row is None else granted_beyond(connection, row.user_id, Role(row.role))

        row, granted = await self._database.read(read)
        now_ms = self._clock()
        if (
            row is None
            or row.ended_at_ms is not None
            or row.state != UserState.ACTIVE
            or min(row.expires_at_ms, row.last_used_at_ms + self._unused_ms) <= now_ms
        ):
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The session has ended; log in again.")
        if request.is_use and now_ms - row.last_used_at_ms >= _NOTED_EVERY_MS:
            used = update(sessions).where(sessions.c.id == row.id, sessions.c.last_used_at_ms < now_ms)
            # A session is good also while nothing can be written.
            with suppress(ParleyError):
                await self._database.write(
                    lambda connection: connection.execute(used.values(last_used_at_ms=now_ms))
                )
        return KnownPrincipal(
            user_id=row.user_id,
            role=Role(row.role),
            scopes=None,
            granted=granted,
            session_id=row.id,
            expires_at_ms=row.expires_at_ms,
        )

    async def list(self, request: ListSessions) -> SessionList:
        """Return the sessions of a user that are open."""

        def read(connection: Connection) -> SessionList:
            _, user = require_target(
                connection,
                request,
                request.user_id,
                own=Permission.ACCOUNT_READ,
                others=Permission.USERS_READ,
            )
            query = select(sessions).where(
                sessions.c.user_id == user.id,
                sessions.c.ended_at_ms.is_(None),
                sessions.c.expires_at_ms > self._clock(),
            )
            ordered = query.order_by(sessions.c.last_used_at_ms.desc(), sessions.c.id)
            rows = connection.execute(ordered).mappings().all()
            return SessionList(sessions=tuple(Session.model_validate(dict(row)) for row in rows))

        return await self._database.read(read)

    async def end(self, request: EndSession) -> None:
        """End a session of who asks."""

        def end(connection: Connection) -> None:
            actor = require_actor(connection, request, Permission.ACCOUNT_WRITE)
            find_user(connection, actor.id, locks=True)
            query = select(sessions.c.id).filter_by(id=request.session_id, user_id=actor.id)
            if connection.execute(query).first() is None:
                raise ParleyError(ErrorCode.NOT_FOUND, "There is no such session.", field="session_id")
            end_session(connection, self._revocations, request.session_id, self._clock())

        await self._database.write(end)

    async def end_all(self, request: EndSessions) -> None:
        """End all sessions of a user."""

        def end(connection: Connection) -> None:
            actor, user = require_target(
                connection,
                request,
                request.user_id,
                own=Permission.ACCOUNT_WRITE,
                others=Permission.USERS_WRITE,
                locks=True,
            )
            if user.id != actor.id:
                actor.require_may_manage(Role(user.role))
            end_sessions_of_user(connection, self._revocations, user.id, self._clock())

        await self._database.write(end)

    @property
    def _unused_ms(self) -> int:
        return round(self._limits.refresh_days * _DAY_MS)

    def _refresh(self, connection: Connection, token: str) -> Tokens:
        refused: Tokens = (Refreshed.REFUSED, None)
        token_hash = hashed(token)
        of_whom = connection.execute(
            select(sessions.c.id, sessions.c.user_id)
            .join(refresh_tokens)
            .where(refresh_tokens.c.token_hash == token_hash)
        ).one_or_none()
        if of_whom is None:
            return refused
        # Locked in the order of `find_user`; each is read when its lock is held, as it is then.
        user = find_user(connection, of_whom.user_id, locks=True)
        session = connection.execute(
            select(sessions).filter_by(id=of_whom.id).with_for_update()
        ).one_or_none()
        shown = connection.execute(select(refresh_tokens).filter_by(token_hash=token_hash)).one_or_none()
        now_ms = self._clock()
        if user is None or session is None or shown is None:
            return refused
        if user.state != UserState.ACTIVE or session.ended_at_ms is not None:
            return refused
        if min(session.expires_at_ms, shown.expires_at_ms) <= now_ms:
            return refused
        if shown.used_at_ms is not None:
            return self._use_again(connection, user, shown, token, now_ms)
        successor, until_ms = self._add_token(connection, session.id, session.expires_at_ms, now_ms)
        used = update(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash)
        connection.execute(used.values(used_at_ms=now_ms, successor=seal_by(token, successor)))
        touched = update(sessions).where(sessions.c.id == session.id)
        connection.execute(touched.values(last_used_at_ms=now_ms))
        return Refreshed.ROTATED, self._tokens(connection, user, session.id, successor, until_ms)

    def _use_again(
        self, connection: Connection, user: UserRow, shown: UserRow, token: str, now_ms: int
    ) -> Tokens:
        """Answer a used token: by the same successor if its answer was lost, else by the end of all."""
        is_within_grace = now_ms - shown.used_at_ms <= self._limits.grace_s * 1000
        successor = open_by(token, shown.successor) if is_within_grace and shown.successor else None
        if successor is not None:
            query = select(refresh_tokens).filter_by(token_hash=hashed(successor), used_at_ms=None)
            if (following := connection.execute(query).one_or_none()) is not None:
                return Refreshed.REPEATED, self._tokens(
                    connection, user, shown.session_id, successor, following.expires_at_ms
                )
        end_session(connection, self._revocations, shown.session_id, now_ms)
        note_reuse(connection, shown.session_id, user.id)
        return Refreshed.REUSED, None

    def _add_token(
        self, connection: Connection, session_id: str, session_expires_at_ms: int, now_ms: int
    ) -> tuple[str, int]:
        token = new_secret(REFRESH_PREFIX)
        until_ms = min(session_expires_at_ms, now_ms + self._unused_ms)
        row = {"token_hash": hashed(token), "session_id": session_id, "expires_at_ms": until_ms}
        connection.execute(insert(refresh_tokens).values(**row))
        return token, until_ms

    def _make_room(self, connection: Connection, user_id: str, now_ms: int) -> None:
        is_open = (sessions.c.user_id == user_id) & sessions.c.ended_at_ms.is_(None)
        query = (
            select(sessions.c.id).where(is_open).order_by(sessions.c.last_used_at_ms.desc(), sessions.c.id)
        )
        surplus = connection.execute(query.offset(self._limits.per_user - 1)).scalars().all()
        for session_id in surplus:
            end_session(connection, self._revocations, session_id, now_ms)

    def _tokens(
        self, connection: Connection, user: UserRow, session_id: str, refresh_token: str, until_ms: int
    ) -> SessionTokens:
        now_s = self._clock() / 1000
        claims = AccessClaims(
            iss=read_issuer(connection),
            aud=AUDIENCE,
            sub=user.id,
            role=Role(user.role),
            granted=granted_beyond(connection, user.id, Role(user.role)),
            sid=session_id,
            jti=uuid4().hex,
            iat=now_s,
            nbf=now_s,
            # A refresh token lasts no longer than its session, and so does what is verified without asking.
            exp=min(now_s + self._limits.access_token_s, until_ms / 1000),
        )
        return SessionTokens(
            access_token=sign_access_token(claims, *self._keys.current(connection)),
            access_expires_at_ms=round(claims.exp * 1000),
            refresh_token=refresh_token,
            refresh_expires_at_ms=until_ms,
            session_id=session_id,
            user=described(user),
        )
