"""What groups add to what a user's role permits, as their rows say it now."""

from collections.abc import Iterable

from parley_contracts.policy import PERMISSIONS, Permission, Role
from sqlalchemy import Connection, select

from parley_accounts.tables import group_members, groups


def written(permissions: Iterable[Permission]) -> str:
    """Return permissions as a row keeps them: words with spaces between them."""
    return " ".join(sorted(set(permissions)))


def read(words: str) -> frozenset[Permission]:
    """Return the permissions that a row keeps; words of another version stand for nothing."""
    known = frozenset(Permission)
    return frozenset(Permission(word) for word in words.split() if word in known)


def granted_to(connection: Connection, user_id: str) -> frozenset[Permission]:
    """Return all that a user's groups add."""
    of_user = select(groups.c.permissions).join(group_members).where(group_members.c.user_id == user_id)
    return frozenset[Permission]().union(*(read(words) for words in connection.execute(of_user).scalars()))


def granted_beyond(connection: Connection, user_id: str, role: Role) -> tuple[Permission, ...]:
    """Return what a user's groups add to his role, in one order: what tokens and principals carry."""
    return tuple(sorted(granted_to(connection, user_id) - PERMISSIONS[role]))
