"""Logging in, by a password or by an API key: whoever is refused hears the same, after the same time."""

from dataclasses import dataclass
from typing import Any, TypeGuard

from parley_contracts.accounts import ChangePassword, LogIn, LogInWithKey, SessionTokens, UserState
from parley_contracts.credentials import CheckKey
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import NoticeKind
from parley_contracts.policy import Permission
from parley_storage import Database
from sqlalchemy import Connection, Row, or_, select, update

from parley_accounts.acting import UserRow, find_user, require_actor
from parley_accounts.api_keys import ApiKeys
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.login_names import folded
from parley_accounts.metrics import AccountsMetrics
from parley_accounts.notices.notices import Notices
from parley_accounts.notices.refused_logins import RefusedLogins
from parley_accounts.opaque_secrets import is_secret_of
from parley_accounts.passwords import Passwords
from parley_accounts.revocations import Revocations
from parley_accounts.session_rows import end_sessions_of_user
from parley_accounts.sessions import Sessions
from parley_accounts.tables import api_keys, users
from parley_accounts.user_rows import require_good_password


def _refused() -> ParleyError:
    return ParleyError(ErrorCode.UNAUTHENTICATED, "The name or the password is not right.")


@dataclass(frozen=True, slots=True)
class _Proof:
    """The hash that a password was right for, and the one that takes its place."""

    user_id: str
    right_hash: str
    new_hash: str


class Entrance:
    """Lets people in, and has them change what they come in by."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        sessions: Sessions,
        *,
        keys: ApiKeys,
        revocations: Revocations,
        metrics: AccountsMetrics,
        told: Notices,
        refused: RefusedLogins,
        password_chars: int,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._sessions = sessions
        self._keys = keys
        self._revocations = revocations
        self._metrics = metrics
        self._notices = told
        self._refused = refused
        self._password_chars = password_chars
        self._clock = clock

    async def log_in(self, request: LogIn) -> SessionTokens:
        """Open a session by name or address and password."""
        proof = await self._prove(request)
        tokens = None
        if proof is not None:
            tokens = await self._database.write(lambda connection: self._open(connection, proof, request))
        self._metrics.count_login(is_let_in=tokens is not None)
        if tokens is None:
            raise _refused()
        return tokens

    async def log_in_with_key(self, request: LogInWithKey) -> SessionTokens:
        """Open a session by an API key that is not limited to scopes."""
        principal = await self._keys.check(CheckKey(key=request.key))
        if principal.scopes is not None:
            raise ParleyError(ErrorCode.FORBIDDEN, "A key with scopes opens no session.")

        def open_session(connection: Connection) -> SessionTokens | None:
            user = find_user(connection, principal.user_id, locks=True)
            key = connection.execute(select(api_keys).filter_by(id=principal.key_id)).one_or_none()
            # It may have been revoked, replaced or expired since it was checked.
            if user is None or user.state != UserState.ACTIVE or not self._opens(key, request.key):
                return None
            self._note_login(connection, user.id)
            return self._sessions.open(
                connection,
                user,
                client=request.client,
                address=request.address,
                key_id=principal.key_id,
                until_ms=key.expires_at_ms,
            )

        tokens = await self._database.write(open_session)
        self._metrics.count_login(is_let_in=tokens is not None)
        if tokens is None:
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The API key is not valid.")
        return tokens

    async def change_password(self, request: ChangePassword) -> None:
        """Set the password of who asks, who knows the present one; his other sessions end."""

        def read(connection: Connection) -> UserRow:
            actor = require_actor(connection, request, Permission.ACCOUNT_WRITE)
            return connection.execute(select(users).filter_by(id=actor.id)).one()

        user = await self._database.read(read)
        names = (user.name, user.email)
        require_good_password(request.new_password, fewest_chars=self._password_chars, names=names)
        if user.password_hash is not None:
            is_right = await self._passwords.verify(request.current_password or "", user.password_hash)
            if not is_right:
                raise _refused()
        new_hash = await self._passwords.hash(request.new_password)

        def change(connection: Connection) -> None:
            now = find_user(connection, user.id, locks=True)
            if now is None or now.password_hash != user.password_hash:
                raise _refused()
            require_actor(connection, request, Permission.ACCOUNT_WRITE)
            connection.execute(update(users).where(users.c.id == user.id).values(password_hash=new_hash))
            end_sessions_of_user(
                connection, self._revocations, user.id, self._clock(), but_session_id=request.session_id
            )
            self._notices.add(connection, user.id, NoticeKind.PASSWORD_CHANGED)

        await self._database.write(change)

    async def _prove(self, request: LogIn) -> _Proof | None:
        login = folded(request.login)
        query = select(users).where(or_(users.c.name == login, users.c.email == login))
        user = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        stored = user.password_hash if user is not None and user.state == UserState.ACTIVE else None
        if not await self._passwords.verify(request.password, stored) or stored is None or user is None:
            if stored is not None and user is not None:
                self._refused.note(user.id)
            return None
        new_hash = stored
        if self._passwords.is_outdated(stored):
            new_hash = await self._passwords.hash(request.password)
        return _Proof(user.id, stored, new_hash)

    def _open(self, connection: Connection, proof: _Proof, request: LogIn) -> SessionTokens | None:
        user = find_user(connection, proof.user_id, locks=True)
        # Both may have changed while the password was verified.
        if user is None or user.state != UserState.ACTIVE or user.password_hash != proof.right_hash:
            return None
        if proof.new_hash != proof.right_hash:
            rehashed = update(users).where(users.c.id == user.id).values(password_hash=proof.new_hash)
            connection.execute(rehashed)
        self._note_login(connection, user.id)
        self._refused.forget(connection, user.id)
        return self._sessions.open(connection, user, client=request.client, address=request.address)

    def _opens(self, key: Row[Any] | None, shown: str) -> TypeGuard[Row[Any]]:
        return (
            key is not None
            and key.revoked_at_ms is None
            and (key.expires_at_ms is None or key.expires_at_ms > self._clock())
            and is_secret_of(shown, key.key_hash)
        )

    def _note_login(self, connection: Connection, user_id: str) -> None:
        connection.execute(update(users).where(users.c.id == user_id).values(last_login_at_ms=self._clock()))
