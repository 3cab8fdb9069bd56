"""Keys and sessions that a test knows by heart, in place of an accounts service."""

from collections.abc import Mapping

from parley_contracts.accounts import LOCAL_OWNER
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Role
from parley_gateway.principal import Principal

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

    async def of_session(self, session_id: str) -> Principal:
        return self._find(self._sessions, session_id)

    def _find(self, known: Mapping[str, Principal], name: str) -> Principal:
        if name not in known:
            raise ParleyError(ErrorCode.UNAUTHENTICATED, "It is not known.")
        return known[name]
