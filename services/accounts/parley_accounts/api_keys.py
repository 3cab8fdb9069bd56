"""API keys: made, listed, checked and revoked. Kept is a hash; the key itself is told once."""

from contextlib import suppress
from functools import partial
from typing import Any

from parley_contracts.accounts import PrincipalRequest, UserState
from parley_contracts.credentials import (
    ApiKey,
    CheckKey,
    CreateKey,
    KeyCreated,
    KeyList,
    KnownPrincipal,
    ListKeys,
    RevokedKind,
    RevokeKey,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import NoticeFacts, NoticeKind
from parley_contracts.policy import Permission, Role
from parley_storage import Database
from sqlalchemy import Connection, func, insert, or_, select, update

from parley_accounts.acting import Actor, find_user, require_actor, require_target
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.granting import granted_beyond
from parley_accounts.installation import OWNER_KEY_ID
from parley_accounts.metrics import AccountsMetrics
from parley_accounts.notices.notices import Notices
from parley_accounts.opaque_secrets import api_key_id, hashed, is_secret_of, new_api_key
from parley_accounts.revocations import Revocations
from parley_accounts.session_rows import end_sessions_of_key
from parley_accounts.tables import api_keys, users

NOTED_EVERY_MS = 60_000
"""How often at most it is noted that a key is used."""
MAX_KEYS = 200
"""How many keys a user may have that are not revoked."""


def _scopes(row: Any) -> tuple[Permission, ...] | None:
    if row.scopes is None:
        return None
    known = frozenset(Permission)
    return tuple(Permission(word) for word in row.scopes.split() if word in known)


def described(row: Any) -> ApiKey:
    """Return a key as it is listed, of its row."""
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=_scopes(row),
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        last_used_at_ms=row.last_used_at_ms,
    )


class ApiKeys:
    """The API keys of all users."""

    def __init__(
        self,
        database: Database,
        revocations: Revocations,
        metrics: AccountsMetrics,
        *,
        told: Notices,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._revocations = revocations
        self._metrics = metrics
        self._notices = told
        self._clock = clock

    async def create(self, request: CreateKey) -> KeyCreated:
        """Make a key; `forbidden` when it would allow what who asks may not."""
        return await self._database.write(partial(self._create, request=request))

    async def list(self, request: ListKeys) -> KeyList:
        """Return the keys of a user that are not revoked."""

        def read(connection: Connection) -> KeyList:
            _, user = require_target(
                connection, request, request.user_id, own=Permission.KEYS_READ, others=Permission.USERS_READ
            )
            query = select(api_keys).filter_by(user_id=user.id, revoked_at_ms=None)
            rows = connection.execute(query.order_by(api_keys.c.created_at_ms.desc(), api_keys.c.id)).all()
            return KeyList(keys=tuple(described(row) for row in rows))

        return await self._database.read(read)

    async def revoke(self, request: RevokeKey) -> None:
        """Refuse a key from now on, and end the sessions that it has opened."""

        def revoke(connection: Connection) -> None:
            row = connection.execute(select(api_keys).filter_by(id=request.key_id)).one_or_none()
            _require_may_revoke(connection, request, None if row is None else row.user_id)
            find_user(connection, row.user_id if row else "", locks=True)
            now_ms = self._clock()
            revoked = connection.execute(
                update(api_keys)
                .where(api_keys.c.id == request.key_id, api_keys.c.revoked_at_ms.is_(None))
                .values(revoked_at_ms=now_ms)
            )
            if revoked.rowcount:
                end_sessions_of_key(connection, self._revocations, request.key_id, now_ms)
                self._revocations.add(connection, RevokedKind.KEY, request.key_id)
                if row is not None:
                    facts = NoticeFacts(key_id=row.id)
                    self._notices.add(connection, row.user_id, NoticeKind.KEY_REVOKED, facts)

        await self._database.write(revoke)

    async def check(self, request: CheckKey) -> KnownPrincipal:
        """Return who a key stands for; `unauthenticated` when it is nobody's any more."""
        # One that names no id can only be the one that `parley up` made.
        key_id = api_key_id(request.key) or OWNER_KEY_ID
        of_user = api_keys.join(users)
        query = select(api_keys, users.c.role, users.c.state).select_from(of_user)
        query = query.where(api_keys.c.id == key_id)

        def read(connection: Connection) -> tuple[Any, tuple[Permission, ...]]:
            row = connection.execute(query).one_or_none()
            return row, () if row is None else granted_beyond(connection, row.user_id, Role(row.role))

        row, granted = await self._database.read(read)
        now_ms = self._clock()
        is_known = (
            is_secret_of(request.key, row.key_hash if row else None)
            and row is not None
            and row.revoked_at_ms is None
            and (row.expires_at_ms is None or row.expires_at_ms > now_ms)
            and row.state == UserState.ACTIVE
        )
        self._metrics.count_key(is_known=is_known)
        if not is_known or row is None:
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The API key is not valid.")
        if row.last_used_at_ms is None or now_ms - row.last_used_at_ms >= NOTED_EVERY_MS:
            await self._note_use(row.id, now_ms)
        return KnownPrincipal(
            key_id=row.id,
            user_id=row.user_id,
            role=Role(row.role),
            scopes=_scopes(row),
            granted=granted,
            expires_at_ms=row.expires_at_ms,
        )

    async def _note_use(self, key_id: str, now_ms: int) -> None:
        def note(connection: Connection) -> None:
            # Another instance may have noted it meanwhile.
            is_due = or_(
                api_keys.c.last_used_at_ms.is_(None), api_keys.c.last_used_at_ms <= now_ms - NOTED_EVERY_MS
            )
            due = update(api_keys).where(api_keys.c.id == key_id, is_due)
            connection.execute(due.values(last_used_at_ms=now_ms))

        # A key is good also while nothing can be written.
        with suppress(ParleyError):
            await self._database.write(note)

    def _create(self, connection: Connection, request: CreateKey) -> KeyCreated:
        actor = require_actor(connection, request, Permission.KEYS_WRITE)
        find_user(connection, actor.id, locks=True)
        self._require_sensible(connection, actor, request)
        key_id, key = new_api_key()
        scopes = None if request.key_scopes is None else sorted(set(request.key_scopes))
        row = {
            "id": key_id,
            "user_id": actor.id,
            "name": request.name,
            "key_hash": hashed(key),
            "scopes": None if scopes is None else " ".join(scopes),
            "created_at_ms": self._clock(),
            "expires_at_ms": request.expires_at_ms,
        }
        connection.execute(insert(api_keys).values(**row))
        self._notices.add(connection, actor.id, NoticeKind.KEY_CREATED, NoticeFacts(key_id=key_id))
        made = connection.execute(select(api_keys).filter_by(id=key_id)).one()
        return KeyCreated(key=key, described=described(made))

    def _require_sensible(self, connection: Connection, actor: Actor, request: CreateKey) -> None:
        # A key without scopes has all that its user will ever have: one with scopes may not make it.
        wanted = actor.permissions if request.key_scopes is None else frozenset(request.key_scopes)
        if not wanted <= actor.permissions or (request.key_scopes is None and request.scopes is not None):
            message = "A key may not allow more than who makes it may do."
            raise ParleyError(ErrorCode.FORBIDDEN, message, field="key_scopes")
        if request.expires_at_ms is not None and request.expires_at_ms <= self._clock():
            message = "expires_at_ms lies in the past."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="expires_at_ms")
        standing = select(func.count()).select_from(api_keys).filter_by(user_id=actor.id, revoked_at_ms=None)
        if connection.execute(standing).scalar_one() >= MAX_KEYS:
            raise ParleyError(ErrorCode.CONFLICT, f"There are {MAX_KEYS} keys; revoke one first.")


def _require_may_revoke(connection: Connection, request: PrincipalRequest, user_id: str | None) -> None:
    """Raise unless a user's keys are for who asks to revoke; another's key looks like a missing one."""
    not_found = ParleyError(ErrorCode.NOT_FOUND, "There is no such key.", field="key_id")
    require_actor(connection, request, Permission.KEYS_WRITE)
    if user_id is None:
        raise not_found
    try:
        actor, user = require_target(
            connection, request, user_id, own=Permission.KEYS_WRITE, others=Permission.USERS_WRITE
        )
    except ParleyError as error:
        raise not_found if error.code is ErrorCode.NOT_FOUND else error from None
    if user.id != actor.id:
        actor.require_may_manage(Role(user.role))
