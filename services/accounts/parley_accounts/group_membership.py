"""Who is in a group: users of a lower role are put in and taken out, by who could give all that it adds."""

from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.groups import (
    AddGroupMember,
    GroupMember,
    GroupMemberList,
    ListGroupMembers,
    RemoveGroupMember,
)
from parley_contracts.policy import Permission, Role
from parley_storage import Database
from sqlalchemy import Connection, Select, delete, func, select

from parley_accounts.acting import UserRow, find_user, require_actor, user_not_found
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.granting import read
from parley_accounts.group_rows import (
    described_member,
    find_group,
    hold_concerned,
    require_grantable,
    tell_changed,
)
from parley_accounts.revocations import Revocations
from parley_accounts.tables import group_members, users

MAX_MEMBERS = 1000
"""How many users a group may have: a change of it concerns each in one transaction."""


def _members_of(group_id: str) -> Select[Any]:
    joined = users.join(group_members)
    columns = (users, group_members.c.added_by, group_members.c.added_at_ms)
    return select(*columns).select_from(joined).where(group_members.c.group_id == group_id)


class GroupMembership:
    """Puts users into groups and takes them out; both are in force at once."""

    def __init__(self, database: Database, revocations: Revocations, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._revocations = revocations
        self._clock = clock

    async def list(self, request: ListGroupMembers) -> GroupMemberList:
        """Return a page of members, by name; a cursor is the name where the last page ended."""

        def read_page(connection: Connection) -> GroupMemberList:
            require_actor(connection, request, Permission.GROUPS_READ)
            group = find_group(connection, request.group_id)
            query = _members_of(group.id).order_by(users.c.name).limit(request.limit + 1)
            if request.cursor is not None:
                query = query.where(users.c.name > request.cursor)
            rows = connection.execute(query).all()
            page = rows[: request.limit]
            return GroupMemberList(
                members=tuple(described_member(row) for row in page),
                next_cursor=page[-1].name if len(rows) > len(page) else None,
            )

        return await self._database.read(read_page)

    async def add(self, request: AddGroupMember) -> GroupMember:
        """Put a user into a group."""

        def add(connection: Connection) -> GroupMember:
            group, user, permissions = self._opened(connection, request)
            count = (
                select(func.count()).select_from(group_members).where(group_members.c.group_id == group.id)
            )
            if connection.execute(count).scalar_one() >= MAX_MEMBERS:
                raise ParleyError(ErrorCode.CONFLICT, f"The group has {MAX_MEMBERS} members already.")
            before = hold_concerned(connection, permissions, [user.id])
            row = self._database.insert(group_members).values(
                group_id=group.id, user_id=user.id, added_by=request.owner_id, added_at_ms=self._clock()
            )
            connection.execute(row.on_conflict_do_nothing())
            tell_changed(connection, self._revocations, before)
            of_user = _members_of(group.id).where(users.c.id == user.id)
            return described_member(connection.execute(of_user).one())

        return await self._database.write(add)

    async def remove(self, request: RemoveGroupMember) -> None:
        """Take a user out of a group."""

        def remove(connection: Connection) -> None:
            group, user, permissions = self._opened(connection, request)
            before = hold_concerned(connection, permissions, [user.id])
            membership = (group_members.c.group_id == group.id) & (group_members.c.user_id == user.id)
            if connection.execute(delete(group_members).where(membership)).rowcount != 1:
                message = "The user is not in the group."
                raise ParleyError(ErrorCode.NOT_FOUND, message, field="user_id")
            tell_changed(connection, self._revocations, before)

        await self._database.write(remove)

    def _opened(
        self, connection: Connection, request: AddGroupMember | RemoveGroupMember
    ) -> tuple[Any, UserRow, frozenset[Permission]]:
        """Return a locked group, a user and what it adds; raise unless both are the actor's to change.

        Only owners put themselves into a group, who lack nothing that one could add.
        """
        actor = require_actor(connection, request, Permission.GROUPS_WRITE)
        group = find_group(connection, request.group_id, locks=True)
        permissions = read(group.permissions)
        require_grantable(actor, permissions)
        user = find_user(connection, request.user_id)
        if user is None:
            raise user_not_found()
        actor.require_may_manage(Role(user.role))
        return group, user, permissions
