"""Groups: made, read, listed, changed and removed by those who could do themselves all that a group adds."""

import secrets
from functools import partial

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.groups import (
    ChangeGroup,
    CreateGroup,
    DeleteGroup,
    Group,
    GroupList,
    ListGroups,
    ListOwnGroups,
    OwnGroup,
    OwnGroupList,
    ReadGroup,
)
from parley_contracts.policy import Permission
from parley_storage import Database
from sqlalchemy import Connection, delete, func, select, update

from parley_accounts.acting import require_actor
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.granting import read, written
from parley_accounts.group_rows import (
    COUNTED,
    described,
    find_group,
    group_not_found,
    hold_concerned,
    require_grantable,
    tell_changed,
)
from parley_accounts.login_names import folded
from parley_accounts.revocations import Revocations
from parley_accounts.tables import group_members, groups

MAX_GROUPS = 1000
"""How many groups there may be."""


def _name_taken() -> ParleyError:
    return ParleyError(ErrorCode.CONFLICT, "name: a group has that name.", field="name")


def _checked_name(text: str) -> tuple[str, str]:
    """Return a name as it is kept, and as it is compared."""
    name = " ".join(text.split())
    if not name or not name.isprintable():
        message = "name: printable characters, and not spaces alone."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="name")
    return name, folded(name)


class Groups:
    """The groups of an installation."""

    def __init__(self, database: Database, revocations: Revocations, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._revocations = revocations
        self._clock = clock

    async def create(self, request: CreateGroup) -> Group:
        """Make a group that nobody is in."""
        name, folded_name = _checked_name(request.name)

        def create(connection: Connection) -> Group:
            actor = require_actor(connection, request, Permission.GROUPS_WRITE)
            require_grantable(actor, request.permissions, "permissions")
            if connection.execute(select(func.count()).select_from(groups)).scalar_one() >= MAX_GROUPS:
                raise ParleyError(ErrorCode.CONFLICT, f"There are {MAX_GROUPS} groups; delete one first.")
            group_id, now_ms = secrets.token_hex(16), self._clock()
            row = self._database.insert(groups).values(
                id=group_id,
                name=name,
                folded_name=folded_name,
                description=request.description,
                permissions=written(request.permissions),
                created_at_ms=now_ms,
                changed_at_ms=now_ms,
            )
            if connection.execute(row.on_conflict_do_nothing().returning(groups.c.id)).first() is None:
                raise _name_taken()
            return described(find_group(connection, group_id))

        return await self._database.write(create)

    async def read(self, request: ReadGroup) -> Group:
        """Return one group."""

        def read_one(connection: Connection) -> Group:
            require_actor(connection, request, Permission.GROUPS_READ)
            return described(find_group(connection, request.group_id))

        return await self._database.read(read_one)

    async def list(self, request: ListGroups) -> GroupList:
        """Return a page of groups, by name; a cursor is the compared name where the last page ended."""

        def read_page(connection: Connection) -> GroupList:
            require_actor(connection, request, Permission.GROUPS_READ)
            query = COUNTED.order_by(groups.c.folded_name).limit(request.limit + 1)
            if request.cursor is not None:
                query = query.where(groups.c.folded_name > request.cursor)
            if request.user_id is not None:
                of_user = select(group_members.c.group_id).where(group_members.c.user_id == request.user_id)
                query = query.where(groups.c.id.in_(of_user))
            rows = connection.execute(query).all()
            page = rows[: request.limit]
            return GroupList(
                groups=tuple(described(row) for row in page),
                next_cursor=page[-1].folded_name if len(rows) > len(page) else None,
            )

        return await self._database.read(read_page)

    async def list_own(self, request: ListOwnGroups) -> OwnGroupList:
        """Return the groups that who asks is in."""

        def read_own(connection: Connection) -> OwnGroupList:
            actor = require_actor(connection, request, Permission.ACCOUNT_READ)
            of_user = select(groups).join(group_members).where(group_members.c.user_id == actor.id)
            rows = connection.execute(of_user.order_by(groups.c.folded_name)).all()
            return OwnGroupList(
                groups=tuple(OwnGroup(id=row.id, name=row.name, description=row.description) for row in rows)
            )

        return await self._database.read(read_own)

    async def change(self, request: ChangeGroup) -> Group:
        """Change what is given; what a group adds to its members is in force at once."""
        return await self._database.write(partial(self._change, request=request))

    def _change(self, connection: Connection, request: ChangeGroup) -> Group:
        actor = require_actor(connection, request, Permission.GROUPS_WRITE)
        row = find_group(connection, request.group_id, locks=True)
        present = read(row.permissions)
        wanted = present if request.permissions is None else frozenset(request.permissions)
        require_grantable(actor, present)
        require_grantable(actor, wanted, "permissions")
        values: dict[str, object] = {}
        if request.name is not None:
            values["name"], values["folded_name"] = _checked_name(request.name)
            same = select(groups.c.id).where(groups.c.folded_name == values["folded_name"])
            if connection.execute(same.where(groups.c.id != row.id)).first() is not None:
                raise _name_taken()
        if request.description is not None:
            values["description"] = request.description
        before = hold_concerned(connection, present ^ wanted, self._member_ids(connection, row.id))
        values |= {"permissions": written(wanted), "changed_at_ms": self._clock()}
        connection.execute(update(groups).where(groups.c.id == row.id).values(**values))
        tell_changed(connection, self._revocations, before)
        return described(find_group(connection, row.id))

    async def delete(self, request: DeleteGroup) -> None:
        """Remove a group; its members lack at once what it added."""

        def remove(connection: Connection) -> None:
            actor = require_actor(connection, request, Permission.GROUPS_WRITE)
            row = find_group(connection, request.group_id, locks=True)
            present = read(row.permissions)
            require_grantable(actor, present)
            before = hold_concerned(connection, present, self._member_ids(connection, row.id))
            if connection.execute(delete(groups).where(groups.c.id == row.id)).rowcount != 1:
                raise group_not_found()
            tell_changed(connection, self._revocations, before)

        await self._database.write(remove)

    def _member_ids(self, connection: Connection, group_id: str) -> tuple[str, ...]:
        query = select(group_members.c.user_id).where(group_members.c.group_id == group_id)
        return tuple(connection.execute(query).scalars())
