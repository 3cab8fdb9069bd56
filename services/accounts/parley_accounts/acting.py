"""Who asks, as he is now: what the request says of him and what his row says, the lesser of both."""

from dataclasses import dataclass
from typing import Any

from parley_contracts.accounts import PrincipalRequest, User, UserState
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission, Role, effective, may_manage, require
from sqlalchemy import Connection, select
from sqlalchemy.engine import Row

from parley_accounts.granting import granted_to
from parley_accounts.tables import users

UserRow = Row[Any]


def user_not_found() -> ParleyError:
    """Return the one error for every user that whoever asks may not see."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such user.", field="user_id")


def find_user(connection: Connection, user_id: str, *, locks: bool = False) -> UserRow | None:
    """Return a user's row; `locks` keeps others from changing it, and from issuing tokens for it.

    Rows are locked in one order everywhere: user, session, token; of several users the lowest id first.
    """
    query = select(users).where(users.c.id == user_id)
    return connection.execute(query.with_for_update() if locks else query).one_or_none()


def described(row: UserRow) -> User:
    """Return a user as others may see him."""
    return User(
        id=row.id,
        name=row.name,
        email=row.email,
        display_name=row.display_name,
        role=Role(row.role),
        state=UserState(row.state),
        has_password=row.password_hash is not None,
        created_at_ms=row.created_at_ms,
        last_login_at_ms=row.last_login_at_ms,
    )


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and what he may do.

    Attributes:
        id: The user.
        role: What he is.
        permissions: What he may do, also by his groups.
        grantable: What he may give to others: what a group has given him is not his to pass on.
        is_whole: Whether no scopes of an API key narrow what he may do.
    """

    id: str
    role: Role
    permissions: frozenset[Permission]
    grantable: frozenset[Permission]
    is_whole: bool = True

    def require_may_manage(self, role: Role) -> None:
        """Raise `forbidden` when users of this role are not his to make or change.

        By a key with scopes an owner makes none, who would be without them, and comes in as none.
        """
        if not may_manage(self.role, role) or (role is self.role and not self.is_whole):
            raise ParleyError(ErrorCode.FORBIDDEN, f"Only a higher role may do this to the role {role}.")


def require_actor(connection: Connection, request: PrincipalRequest, permission: Permission) -> Actor:
    """Return who asks; `forbidden` without the permission, `unauthenticated` when he may not enter any more.

    A token tells the role of some minutes ago. What was taken away since is not to be had by it, and what
    was given since waits for the next token.
    """
    require(request.role, permission, request.scopes, request.granted)
    row = find_user(connection, request.owner_id)
    if row is None or row.state != UserState.ACTIVE:
        raise ParleyError(ErrorCode.UNAUTHENTICATED, "The account is not active.")
    role = min(request.role, Role(row.role), key=tuple(Role).index)
    granted = frozenset(request.granted)
    if granted:
        granted &= granted_to(connection, row.id)
    require(role, permission, request.scopes, granted)
    permissions, grantable = effective(role, request.scopes, granted), effective(role, request.scopes)
    return Actor(row.id, role, permissions, grantable, is_whole=request.scopes is None)


def require_target(
    connection: Connection,
    request: PrincipalRequest,
    user_id: str | None,
    *,
    own: Permission,
    others: Permission,
    locks: bool = False,
) -> tuple[Actor, UserRow]:
    """Return who asks and the user it is about: himself, or somebody whom he may see.

    `not_found` for a user who is not there, and for another one without the permission for others.
    """
    is_own = user_id is None or user_id == request.owner_id
    if not is_own and others not in effective(request.role, request.scopes, request.granted):
        raise user_not_found()
    actor = require_actor(connection, request, own if is_own else others)
    row = find_user(connection, user_id or request.owner_id, locks=locks)
    if row is None:
        raise user_not_found()
    return actor, row
