"""Links by which somebody enters who cannot log in yet: of one use, kept as hashes, and good for a while."""

import secrets
from enum import StrEnum
from typing import Any, Protocol

from parley_contracts.accounts import (
    AcceptInvitation,
    CreateInvitation,
    CreatePasswordReset,
    Invitation,
    InvitationList,
    LinkCreated,
    ListInvitations,
    ResetPassword,
    RevokeInvitation,
    User,
    UserState,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import NoticeKind
from parley_contracts.policy import Permission, Role
from parley_storage import Database
from sqlalchemy import Connection, delete, func, insert, select, update

from parley_accounts.acting import described, find_user, require_actor, require_target
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.granting import granted_to
from parley_accounts.login_names import normal_email, normal_name
from parley_accounts.notices.notices import Notices
from parley_accounts.opaque_secrets import LINK_PREFIX, hashed, new_secret
from parley_accounts.passwords import Passwords
from parley_accounts.revocations import Revocations
from parley_accounts.session_rows import end_sessions_of_user
from parley_accounts.tables import links, users
from parley_accounts.user_rows import insert_user, require_good_password

MAX_INVITATIONS = 1000
"""How many invitations may be open at once."""


class LinkMailing(Protocol):
    """What has links mailed."""

    def add(
        self, connection: Connection, *, link_id: str, token: str, user_id: str, address: str | None
    ) -> bool:
        """Have a link mailed on behalf of a user; False when it cannot be."""
        ...


class LinkKind(StrEnum):
    """What a link is for."""

    INVITATION = "invitation"
    PASSWORD_RESET = "password_reset"


def _not_found() -> ParleyError:
    return ParleyError(ErrorCode.NOT_FOUND, "The link is not valid any more.", field="token")


class Links:
    """Makes links and takes them; one that is used, void, expired or was never made is `not_found`."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        revocations: Revocations,
        *,
        told: Notices,
        mails: LinkMailing,
        password_chars: int,
        invitation_ms: int,
        reset_ms: int,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._revocations = revocations
        self._notices = told
        self._mails = mails
        self._password_chars = password_chars
        self._invitation_ms = invitation_ms
        self._reset_ms = reset_ms
        self._clock = clock

    async def invite(self, request: CreateInvitation) -> LinkCreated:
        """Make a link that makes a user of a role that is for who asks to give."""
        email = None if request.email is None else normal_email(request.email)

        def invite(connection: Connection) -> LinkCreated:
            actor = require_actor(connection, request, Permission.USERS_WRITE)
            actor.require_may_manage(request.new_role)
            count = select(func.count()).select_from(links).filter_by(kind=LinkKind.INVITATION)
            if connection.execute(count).scalar_one() >= MAX_INVITATIONS:
                raise ParleyError(ErrorCode.CONFLICT, "Too many invitations are open; revoke some first.")
            of_invitation = {"role": request.new_role, "email": email, "created_by": actor.id}
            made = self._make(connection, LinkKind.INVITATION, self._invitation_ms, **of_invitation)
            return self._mailed(connection, made, actor.id, email)

        return await self._database.write(invite)

    async def list_invitations(self, request: ListInvitations) -> InvitationList:
        """Return the invitations that are open."""

        def read(connection: Connection) -> InvitationList:
            require_actor(connection, request, Permission.USERS_READ)
            query = (
                select(links)
                .where(links.c.kind == LinkKind.INVITATION, links.c.expires_at_ms > self._clock())
                .order_by(links.c.created_at_ms.desc(), links.c.id)
            )
            return InvitationList(
                invitations=tuple(
                    Invitation(
                        id=row.id,
                        role=Role(row.role),
                        email=row.email,
                        invited_by=row.created_by,
                        created_at_ms=row.created_at_ms,
                        expires_at_ms=row.expires_at_ms,
                    )
                    for row in connection.execute(query)
                )
            )

        return await self._database.read(read)

    async def revoke_invitation(self, request: RevokeInvitation) -> None:
        """Make an invitation void."""

        def revoke(connection: Connection) -> None:
            actor = require_actor(connection, request, Permission.USERS_WRITE)
            query = select(links).filter_by(id=request.invitation_id, kind=LinkKind.INVITATION)
            row = connection.execute(query).one_or_none()
            if row is None:
                message = "There is no such invitation."
                raise ParleyError(ErrorCode.NOT_FOUND, message, field="invitation_id")
            actor.require_may_manage(Role(row.role))
            connection.execute(delete(links).where(links.c.id == row.id))

        await self._database.write(revoke)

    async def accept_invitation(self, request: AcceptInvitation) -> User:
        """Make the user that an invitation is for."""
        name = normal_name(request.name)
        asked_email = None if request.email is None else normal_email(request.email)
        found = await self._database.read(lambda connection: self._find(connection, request.token))
        if found is None or found.kind != LinkKind.INVITATION:
            raise _not_found()
        email = found.email or asked_email
        if asked_email not in {None, email}:
            message = "email: the invitation is for another address."
            raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="email")
        require_good_password(request.password, fewest_chars=self._password_chars, names=(name, email))
        password_hash = await self._passwords.hash(request.password)

        def accept(connection: Connection) -> User:
            self._use(connection, found.id)
            row = insert_user(
                connection,
                self._database,
                name=name,
                email=email,
                display_name=request.display_name,
                role=Role(found.role),
                password_hash=password_hash,
                now_ms=self._clock(),
            )
            return described(row)

        return await self._database.write(accept)

    async def create_reset(self, request: CreatePasswordReset) -> LinkCreated:
        """Make a link by which another user sets a password; earlier ones of his are void."""

        def create(connection: Connection) -> LinkCreated:
            actor, user = require_target(
                connection,
                request,
                request.user_id,
                own=Permission.USERS_WRITE,
                others=Permission.USERS_WRITE,
                locks=True,
            )
            if actor.id == user.id:
                # Else a stolen access token would be enough to take an account over.
                raise ParleyError(ErrorCode.FORBIDDEN, "One's own password is changed by the present one.")
            actor.require_may_manage(Role(user.role))
            # Who sets a password may come in by it: no way to what groups add, and one has not.
            if not granted_to(connection, user.id) <= actor.permissions:
                raise ParleyError(ErrorCode.FORBIDDEN, "The user's groups add what you may not do.")
            self._void_resets(connection, user.id)
            made = self.make_reset(connection, user.id, created_by=actor.id)
            return self._mailed(connection, made, actor.id, user.email)

        return await self._database.write(create)

    async def reset_password(self, request: ResetPassword) -> None:
        """Set the password of the user whom a link is for; his sessions end."""

        def read(connection: Connection) -> Any:
            link = self._find(connection, request.token)
            is_reset = link is not None and link.kind == LinkKind.PASSWORD_RESET
            return (
                (link, find_user(connection, link.user_id)) if is_reset and link is not None else (None, None)
            )

        link, user = await self._database.read(read)
        if link is None or user is None or user.state != UserState.ACTIVE:
            raise _not_found()
        names = (user.name, user.email)
        require_good_password(request.password, fewest_chars=self._password_chars, names=names)
        password_hash = await self._passwords.hash(request.password)

        def reset(connection: Connection) -> None:
            standing = find_user(connection, user.id, locks=True)
            if standing is None or standing.state != UserState.ACTIVE:
                raise _not_found()
            self._use(connection, link.id)
            self._void_resets(connection, user.id)
            connection.execute(update(users).where(users.c.id == user.id).values(password_hash=password_hash))
            end_sessions_of_user(connection, self._revocations, user.id, self._clock())
            self._notices.add(connection, user.id, NoticeKind.PASSWORD_CHANGED)

        await self._database.write(reset)

    def make_reset(self, connection: Connection, user_id: str, *, created_by: str) -> LinkCreated:
        """Make a link by which a user sets a password; the others there are stay good until one is used."""
        of_reset = {"user_id": user_id, "created_by": created_by}
        return self._make(connection, LinkKind.PASSWORD_RESET, self._reset_ms, **of_reset)

    def _mailed(
        self, connection: Connection, made: LinkCreated, user_id: str, address: str | None
    ) -> LinkCreated:
        told = {"link_id": made.id, "token": made.token}
        is_mailed = self._mails.add(connection, **told, user_id=user_id, address=address)
        return made.model_copy(update={"is_mailed": is_mailed})

    def _make(self, connection: Connection, kind: LinkKind, lasts_ms: int, **values: object) -> LinkCreated:
        token, now_ms = new_secret(LINK_PREFIX), self._clock()
        made = LinkCreated(id=secrets.token_hex(8), token=token, expires_at_ms=now_ms + lasts_ms)
        row = {
            "id": made.id,
            "kind": kind,
            "token_hash": hashed(token),
            "created_at_ms": now_ms,
            "expires_at_ms": made.expires_at_ms,
        }
        connection.execute(insert(links).values(**row, **values))
        return made

    def _find(self, connection: Connection, token: str) -> Any:
        query = select(links).where(
            links.c.token_hash == hashed(token), links.c.expires_at_ms > self._clock()
        )
        return connection.execute(query).one_or_none()

    def _use(self, connection: Connection, link_id: str) -> None:
        """Take a link out; whoever comes second finds none."""
        is_good = (links.c.id == link_id) & (links.c.expires_at_ms > self._clock())
        if connection.execute(delete(links).where(is_good)).rowcount != 1:
            raise _not_found()

    def _void_resets(self, connection: Connection, user_id: str) -> None:
        of_user = (links.c.kind == LinkKind.PASSWORD_RESET) & (links.c.user_id == user_id)
        connection.execute(delete(links).where(of_user))
