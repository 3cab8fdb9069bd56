"""The rows of a group: found, described and locked, and what is told when they add something else."""

from collections.abc import Iterable
from typing import Any

from parley_contracts.credentials import RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.groups import Group, GroupMember
from parley_contracts.policy import PERMISSIONS, Permission, Role
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.engine import Row

from parley_accounts.acting import Actor, UserRow
from parley_accounts.granting import granted_beyond, read
from parley_accounts.revocations import Revocations
from parley_accounts.tables import group_bots, group_members, groups, links, users

GroupRow = Row[Any]

_MEMBERS = (
    select(func.count())
    .select_from(group_members)
    .where(group_members.c.group_id == groups.c.id)
    .scalar_subquery()
)
_BOTS = (
    select(func.count()).select_from(group_bots).where(group_bots.c.group_id == groups.c.id).scalar_subquery()
)
COUNTED = select(groups, _MEMBERS.label("members"), _BOTS.label("bots"))
"""Groups with how much is in them."""


def group_not_found() -> ParleyError:
    """Return the one error for every group that is not there, or not for who asks to see."""
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such group.", field="group_id")


def find_group(connection: Connection, group_id: str, *, locks: bool = False) -> GroupRow:
    """Return a group's row; locked, nobody changes what it adds, or who is in it, meanwhile.

    A group is locked before users are.
    """
    if locks:
        connection.execute(select(groups.c.id).where(groups.c.id == group_id).with_for_update()).all()
    row = connection.execute(COUNTED.where(groups.c.id == group_id)).one_or_none()
    if row is None:
        raise group_not_found()
    return row


def described(row: GroupRow) -> Group:
    """Return a group as those see it who look after groups."""
    return Group(
        id=row.id,
        name=row.name,
        description=row.description,
        permissions=tuple(sorted(read(row.permissions))),
        members=row.members,
        bots=row.bots,
        created_at_ms=row.created_at_ms,
        changed_at_ms=row.changed_at_ms,
    )


def described_member(row: Row[Any]) -> GroupMember:
    """Return a member, of a row of a user joined with his membership."""
    return GroupMember(
        user_id=row.id,
        name=row.name,
        display_name=row.display_name,
        role=row.role,
        state=row.state,
        added_by=row.added_by,
        added_at_ms=row.added_at_ms,
    )


def require_grantable(actor: Actor, permissions: Iterable[Permission], field: str | None = None) -> None:
    """Raise `forbidden` when something here is not the actor's own to give, by his role and his key."""
    beyond = sorted(set(permissions) - actor.grantable)
    if beyond:
        message = f"Nobody gives what his own role has not: {', '.join(beyond)}."
        raise ParleyError(ErrorCode.FORBIDDEN, message, field=field)


Standing = dict[str, tuple[Permission, ...]]


def hold_concerned(
    connection: Connection, permissions: Iterable[Permission], among: Iterable[str]
) -> Standing:
    """Lock those users to whose role some permission adds something; return what their groups add now.

    An owner lacks nothing, so none is locked: who changes an owner holds all owners, and then another user.
    """
    concerned = [role for role in Role if not set(permissions) <= PERMISSIONS[role]]
    query = select(users).where(users.c.id.in_(list(among)), users.c.role.in_(concerned))
    held: list[UserRow] = list(connection.execute(query.order_by(users.c.id).with_for_update()).all())
    return {row.id: granted_beyond(connection, row.id, Role(row.role)) for row in held}


def tell_changed(connection: Connection, revocations: Revocations, before: Standing) -> None:
    """Refuse the earlier tokens of those to whom groups add something else now; their sessions go on.

    A link to reset such a user's password was made while he could do something else, and what he has offered
    others may not be his to offer any more.
    """
    for user_id, granted in before.items():
        role = connection.execute(select(users.c.role).where(users.c.id == user_id)).scalar_one()
        now = granted_beyond(connection, user_id, Role(role))
        if now == granted:
            continue
        connection.execute(delete(links).where(links.c.user_id == user_id))
        if not set(granted) <= set(now):
            connection.execute(delete(links).where(links.c.created_by == user_id))
        revocations.add(connection, RevokedKind.USER, user_id)
