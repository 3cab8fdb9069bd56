"""Users: made by somebody of a higher role, read, listed and changed."""

from functools import partial

from parley_contracts.accounts import ChangeUser, CreateUser, ListUsers, ReadUser, User, UserList, UserState
from parley_contracts.credentials import RevokedKind
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import NoticeFacts, NoticeKind
from parley_contracts.policy import Permission, Role
from parley_storage import Database
from sqlalchemy import Connection, delete, or_, select, update

from parley_accounts.acting import Actor, UserRow, described, find_user, require_actor, require_target
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.data_job_rows import is_being_erased
from parley_accounts.login_names import folded, normal_email, normal_name
from parley_accounts.notices.notices import Notices
from parley_accounts.passwords import Passwords
from parley_accounts.revocations import Revocations
from parley_accounts.session_rows import end_sessions_of_user
from parley_accounts.tables import links, users
from parley_accounts.user_rows import insert_user, require_good_password


class UserDirectory:
    """Who there is."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        revocations: Revocations,
        *,
        told: Notices,
        password_chars: int,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._revocations = revocations
        self.notices = told
        self._password_chars = password_chars
        self._clock = clock

    async def create(self, request: CreateUser) -> User:
        """Make a user of a role that is for who asks to give."""
        name = normal_name(request.name)
        email = None if request.email is None else normal_email(request.email)

        def require_allowed(connection: Connection) -> None:
            actor = require_actor(connection, request, Permission.USERS_WRITE)
            actor.require_may_manage(request.new_role)

        password_hash = None
        if request.password is not None:
            require_good_password(request.password, fewest_chars=self._password_chars, names=(name, email))
            # Nobody else has hashes made.
            await self._database.read(require_allowed)
            password_hash = await self._passwords.hash(request.password)

        def create(connection: Connection) -> User:
            require_allowed(connection)
            row = insert_user(
                connection,
                self._database,
                name=name,
                email=email,
                display_name=request.display_name,
                role=request.new_role,
                password_hash=password_hash,
                now_ms=self._clock(),
            )
            return described(row)

        return await self._database.write(create)

    async def read(self, request: ReadUser) -> User:
        """Return one user."""

        def read(connection: Connection) -> User:
            _, row = require_target(
                connection,
                request,
                request.user_id,
                own=Permission.ACCOUNT_READ,
                others=Permission.USERS_READ,
            )
            return described(row)

        return await self._database.read(read)

    async def list(self, request: ListUsers) -> UserList:
        """Return a page of users, by name."""

        def read(connection: Connection) -> UserList:
            require_actor(connection, request, Permission.USERS_READ)
            query = select(users).order_by(users.c.name).limit(request.limit + 1)
            if request.after_name is not None:
                query = query.where(users.c.name > folded(request.after_name))
            wanted = {"role": request.of_role, "state": request.state}
            query = query.filter_by(**{name: value for name, value in wanted.items() if value is not None})
            if request.contains is not None:
                query = query.where(users.c.name.contains(folded(request.contains), autoescape=True))
            rows = connection.execute(query).all()
            page = rows[: request.limit]
            return UserList(
                users=tuple(described(row) for row in page),
                next_after_name=page[-1].name if len(rows) > len(page) else None,
            )

        return await self._database.read(read)

    async def change(self, request: ChangeUser) -> User:
        """Change what is given; a lost role or state takes effect at once."""
        return await self._database.write(partial(self._change, request=request))

    def _change(self, connection: Connection, request: ChangeUser) -> User:
        # Owners take turns, so that two who demote each other do not both succeed and leave none. Whoever
        # changes an owner is one and stays one: nobody changes himself.
        owners = select(users.c.id).filter_by(role=Role.OWNER).order_by(users.c.id).with_for_update()
        connection.execute(owners).all()
        actor, row = require_target(
            connection,
            request,
            request.user_id,
            own=Permission.ACCOUNT_WRITE,
            others=Permission.USERS_WRITE,
            locks=True,
        )
        self._require_allowed(actor, row, request)
        if request.state is UserState.ACTIVE and is_being_erased(connection, row.id):
            raise ParleyError(ErrorCode.CONFLICT, "The user is being erased.", field="state")
        wanted = {
            "display_name": request.display_name and request.display_name.strip(),
            "role": request.new_role,
            "state": request.state,
        }
        changed = {name: value for name, value in wanted.items() if value and value != getattr(row, name)}
        if changed:
            connection.execute(update(users).where(users.c.id == row.id).values(**changed))
        if changed.keys() & {"role", "state"}:
            # What he has offered others was his to offer, and his password another one's to reset.
            of_his = or_(links.c.created_by == row.id, links.c.user_id == row.id)
            connection.execute(delete(links).where(of_his))
        if changed.get("state") == UserState.DISABLED:
            end_sessions_of_user(connection, self._revocations, row.id, self._clock())
        elif "role" in changed:
            self._revocations.add(connection, RevokedKind.USER, row.id)
        if "role" in changed:
            facts = NoticeFacts(role=request.new_role)
            self.notices.add(connection, row.id, NoticeKind.ROLE_CHANGED, facts)
        made = find_user(connection, row.id)
        return described(made or row)

    def _require_allowed(self, actor: Actor, row: UserRow, request: ChangeUser) -> None:
        is_own = actor.id == row.id
        if is_own and (request.new_role or request.state):
            raise ParleyError(ErrorCode.FORBIDDEN, "Nobody changes his own role or state.")
        if not is_own:
            actor.require_may_manage(Role(row.role))
            actor.require_may_manage(request.new_role or Role(row.role))
