"""Keys and sessions that a test knows by heart, in place of an accounts service."""

import time
from collections.abc import Mapping

from parley_contracts import subjects
from parley_contracts.accounts import (
    LOCAL_OWNER,
    EndSession,
    LogInWithKey,
    SessionTokens,
    User,
    UserState,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_contracts.replies import Done
from parley_gateway.principal import Principal
from parley_messaging.memory_bus import MemoryBus

OWNER = Principal(LOCAL_OWNER, Role.OWNER)


class KnownKeys:
    """Tells whose they are, and refuses all others."""

    def __init__(
        self, keys: Mapping[str, Principal], sessions: Mapping[str, Principal] | None = None
    ) -> None:
        self._keys = keys
        self._sessions = sessions or {}

    async def of_bearer(self, text: str) -> Principal:
        return self._find(self._keys, text)

    async def of_session(self, session_id: str, *, is_use: bool = True) -> Principal:
        return self._find(self._sessions, session_id)

    def _find(self, known: Mapping[str, Principal], name: str) -> Principal:
        if name not in known:
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "It is not known.")
        return known[name]


def answer_logins(bus: MemoryBus, key: str, session_id: str) -> None:
    """Open one and the same session of the local owner by a key, and end it without a trace."""

    async def log_in(request: LogInWithKey) -> SessionTokens:
        if request.key != key:
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "The API key is not valid.")
        owner = User(
            id=LOCAL_OWNER,
            name="owner",
            display_name="Owner",
            role=Role.OWNER,
            state=UserState.ACTIVE,
            has_password=False,
            created_at_ms=1,
        )
        then_ms = time.time_ns() // 1_000_000 + 600_000
        return SessionTokens(
            access_token="a",
            access_expires_at_ms=then_ms,
            refresh_token="r",
            refresh_expires_at_ms=then_ms,
            session_id=session_id,
            user=owner,
        )

    async def end(_: EndSession) -> Done:
        return Done()

    bus.answer(subjects.ACCOUNTS_LOG_IN_WITH_KEY, LogInWithKey, log_in)
    bus.answer(subjects.ACCOUNTS_END_SESSION, EndSession, end)
