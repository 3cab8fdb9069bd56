"""What is refused although it has not expired, as far as this process was told; it forgets nothing before."""

from collections.abc import Callable

from parley_contracts.credentials import AccessClaims, Revocation, RevokedKind
from parley_messaging.message_headers import now_ms

PRUNED_AT = 1000
"""Revocations beyond which those that have expired are forgotten whenever the number has doubled."""

OnRevoked = Callable[[Revocation], None]


class Revoked:
    """Sessions and users whose access tokens are refused; bounded by what is revoked in a token's life."""

    def __init__(self) -> None:
        self._known: dict[str, Revocation] = {}
        self._sessions: set[str] = set()
        self._users: dict[str, int] = {}
        self._listeners: list[OnRevoked] = []
        self._prune_at = PRUNED_AT

    def on_revoked(self, tell: OnRevoked) -> None:
        """Call `tell` with every revocation that was not known."""
        self._listeners.append(tell)

    def add(self, revocation: Revocation) -> None:
        """Refuse something from now on; what is known already changes nothing."""
        if revocation.id in self._known or revocation.expires_at_ms <= now_ms():
            return
        self._known[revocation.id] = revocation
        self._refuse(revocation)
        if len(self._known) >= self._prune_at:
            self._forget_expired()
        for tell in self._listeners:
            tell(revocation)

    def refuses(self, claims: AccessClaims) -> bool:
        """Return whether an access token that is right in itself has been revoked."""
        return claims.sid in self._sessions or claims.issued_at_ms <= self._users.get(claims.sub, -1)

    def __len__(self) -> int:
        return len(self._known)

    def _refuse(self, revocation: Revocation) -> None:
        if revocation.kind is RevokedKind.SESSION:
            self._sessions.add(revocation.revoked_id)
        elif revocation.kind is RevokedKind.USER:
            latest_ms = max(revocation.at_ms, self._users.get(revocation.revoked_id, -1))
            self._users[revocation.revoked_id] = latest_ms

    def _forget_expired(self) -> None:
        limit_ms = now_ms()
        self._known = {key: one for key, one in self._known.items() if one.expires_at_ms > limit_ms}
        self._sessions.clear()
        self._users.clear()
        for one in self._known.values():
            self._refuse(one)
        self._prune_at = max(PRUNED_AT, 2 * len(self._known))
