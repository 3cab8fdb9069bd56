"""Who asks, and what he may do."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from parley_contracts.claims import Acting, PrincipalKind
from parley_contracts.credentials import Revocation, RevokedKind
from parley_contracts.policy import Permission, Role, effective, require

IDENTIFIED = "parley.principal"
"""Where the scope of a request keeps who sends it, once that is known."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and what he may do: by his role and his groups, as far as the scopes of his key go."""

    owner_id: str
    role: Role = Role.GUEST
    scopes: tuple[Permission, ...] | None = None
    session_id: str | None = None
    key_id: str | None = None
    granted: tuple[Permission, ...] = ()
    expires_at_ms: int | None = field(default=None, compare=False)
    """When what he came in by expires; None is never, or not known."""

    def require(self, *permissions: Permission) -> None:
        """Raise ParleyError `forbidden` unless he has all of these."""
        for permission in permissions:
            require(self.role, permission, self.scopes, self.granted)

    def may(self, permission: Permission) -> bool:
        """Return whether he has a permission."""
        return permission in effective(self.role, self.scopes, self.granted)

    def is_concerned(self, revocation: Revocation) -> bool:
        """Return whether a revocation is about what he came in by."""
        about = {
            RevokedKind.USER: self.owner_id,
            RevokedKind.SESSION: self.session_id,
            RevokedKind.KEY: self.key_id,
        }
        return revocation.revoked_id == about[revocation.kind]

    @property
    def acting(self) -> Acting:
        """For whom the gateway asks others."""
        kind = PrincipalKind.USER if self.key_id is None else PrincipalKind.KEY
        return Acting(self.owner_id, self.role, self.scopes, kind, granted=self.granted)

    @property
    def asking(self) -> dict[str, Any]:
        """The fields by which accounts is told who asks."""
        return {
            "owner_id": self.owner_id,
            "role": self.role,
            "scopes": self.scopes,
            "granted": self.granted,
        }


class Prover(Protocol):
    """Tells whose a key, an access token or a session is."""

    async def of_bearer(self, text: str) -> Principal:
        """Return whose key or access token it is; ParleyError `unauthenticated` when it is nobody's."""
        ...

    async def of_session(self, session_id: str, *, is_use: bool = True) -> Principal:
        """Return whose session it is; ParleyError `unauthenticated` when it has ended.

        `is_use` is False where nobody shows it: a session that is only looked at counts as unused.
        """
        ...
