"""Which user somebody is whom a provider knows: linked before, linked now, invited or new."""

import re
import secrets
from dataclasses import dataclass

from parley_contracts.accounts import SessionTokens, UserState
from parley_contracts.credentials import RevokedKind
from parley_contracts.notices import NoticeFacts, NoticeKind
from parley_contracts.policy import Role
from parley_storage import Database
from sqlalchemy import Connection, delete, or_, select, update

from parley_accounts.acting import UserRow, find_user
from parley_accounts.clock import Clock
from parley_accounts.links import LinkKind
from parley_accounts.login_names import folded
from parley_accounts.notices.notices import Notices
from parley_accounts.notices.webhooks import switch_off_all
from parley_accounts.oidc.faults import LoginFault, RefusedLoginError
from parley_accounts.oidc.proven import Proven
from parley_accounts.oidc.provider_settings import REFUSE, OidcSettings, Strangers
from parley_accounts.revocations import Revocations
from parley_accounts.session_rows import end_sessions_of_user
from parley_accounts.sessions import Sessions
from parley_accounts.tables import api_keys, links, oidc_identities, users
from parley_accounts.user_rows import insert_user

_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")
_MAX_NAME_CHARS = 40
_RANKS = tuple(Role)


class OvertakenError(Exception):
    """Somebody else has just made what was to be made: to be begun again."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who comes in by a provider, and as what, by the settings."""

    domains: frozenset[str]
    strangers: Strangers
    links_by_email: bool
    roles: dict[str, Role]
    default_role: Role | None

    @classmethod
    def of(cls, settings: OidcSettings) -> "Admission":
        """Return it as settings have it."""
        default = settings.accounts_oidc_default_role
        return cls(
            settings.oidc_domains,
            settings.accounts_oidc_strangers,
            settings.accounts_oidc_links_by_email,
            settings.oidc_roles,
            None if default == REFUSE else Role(default),
        )

    def check_domain(self, proven: Proven) -> None:
        """Refuse whoever has no verified address in the domains, where there are any."""
        if self.domains and (proven.email or "").rpartition("@")[2] not in self.domains:
            raise RefusedLoginError(LoginFault.EMAIL_DOMAIN)

    def role_of(self, proven: Proven, otherwise: Role | None) -> Role:
        """Return the highest role that his groups give; without a table of groups `otherwise`."""
        given = [self.roles[group] for group in proven.groups if group in self.roles]
        role = max(given, key=_RANKS.index) if given else self.default_role if self.roles else otherwise
        if role is None:
            raise RefusedLoginError(LoginFault.NO_ROLE)
        return role


class People:
    """Finds the user of somebody whom a provider knows, and opens his session."""

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        revocations: Revocations,
        admission: Admission,
        *,
        told: Notices,
        clock: Clock,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._revocations = revocations
        self._admission = admission
        self._notices = told
        self._clock = clock

    def enter(
        self, connection: Connection, proven: Proven, *, client: str, address: str | None
    ) -> SessionTokens:
        """Open a session; RefusedLoginError when he does not come in, OvertakenError to begin again."""
        self._admission.check_domain(proven)
        user_id, identity_id = self._linked(connection, proven) or self._linked_anew(connection, proven)
        user = find_user(connection, user_id, locks=True)
        if user is None or user.state != UserState.ACTIVE:
            raise RefusedLoginError(LoginFault.DISABLED)
        self._follow_groups(connection, user, proven)
        now_ms = self._clock()
        connection.execute(update(users).where(users.c.id == user.id).values(last_login_at_ms=now_ms))
        used = update(oidc_identities).where(oidc_identities.c.id == identity_id)
        connection.execute(used.values(last_login_at_ms=now_ms))
        standing = find_user(connection, user.id) or user
        return self._sessions.open(
            connection, standing, client=client, address=address, identity_id=identity_id
        )

    def _linked(self, connection: Connection, proven: Proven) -> tuple[str, str] | None:
        query = select(oidc_identities.c.user_id, oidc_identities.c.id).filter_by(
            issuer=proven.issuer, subject=proven.subject
        )
        found = connection.execute(query).one_or_none()
        return None if found is None else (found.user_id, found.id)

    def _linked_anew(self, connection: Connection, proven: Proven) -> tuple[str, str]:
        try:
            return self._adopt(connection, proven)
        except RefusedLoginError:
            if self._linked(connection, proven):
                # Another first login of his has just taken the address or the invitation.
                raise OvertakenError from None
            raise

    def _adopt(self, connection: Connection, proven: Proven) -> tuple[str, str]:
        """Bind somebody who comes for the first time to a user; return both ids."""
        user = self._user_of_address(connection, proven) or self._newcomer(connection, proven)
        identity_id = secrets.token_hex(16)
        row = self._database.insert(oidc_identities).values(
            id=identity_id,
            user_id=user.id,
            issuer=proven.issuer,
            subject=proven.subject,
            created_at_ms=self._clock(),
        )
        if not connection.execute(row.on_conflict_do_nothing()).rowcount:
            raise OvertakenError
        return user.id, identity_id

    def _user_of_address(self, connection: Connection, proven: Proven) -> UserRow | None:
        """Return the user who becomes his by a verified address, stripped of what let others in before.

        Whoever made that user may only have typed the address in: his password and keys go, and what his
        webhooks would tell him, also of this; the address is the other one's.
        """
        if proven.email is None:
            return None
        found = connection.execute(select(users.c.id).filter_by(email=proven.email)).one_or_none()
        user = find_user(connection, found.id, locks=True) if found is not None else None
        if user is None:
            return None
        if not self._admission.links_by_email or user.role == Role.OWNER:
            raise RefusedLoginError(LoginFault.ADDRESS_TAKEN)
        if self._has_identity(connection, user.id, proven.issuer):
            # The address stands for one person of a provider: another one who has it now is not he.
            raise RefusedLoginError(LoginFault.ADDRESS_TAKEN)
        if user.state != UserState.ACTIVE:
            raise RefusedLoginError(LoginFault.DISABLED)
        now_ms = self._clock()
        switch_off_all(connection, user.id)
        if user.password_hash is not None:
            connection.execute(update(users).where(users.c.id == user.id).values(password_hash=None))
            self._notices.add(connection, user.id, NoticeKind.PASSWORD_CHANGED)
        keys = select(api_keys.c.id).filter_by(user_id=user.id, revoked_at_ms=None)
        for key_id in connection.execute(keys).scalars().all():
            connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at_ms=now_ms))
            self._revocations.add(connection, RevokedKind.KEY, key_id)
            facts = NoticeFacts(key_id=key_id)
            self._notices.add(connection, user.id, NoticeKind.KEY_REVOKED, facts)
        _void_links(connection, user.id)
        end_sessions_of_user(connection, self._revocations, user.id, now_ms)
        return user

    def _has_identity(self, connection: Connection, user_id: str, issuer: str) -> bool:
        query = select(oidc_identities.c.id).filter_by(user_id=user_id, issuer=issuer).limit(1)
        return connection.execute(query).first() is not None

    def _newcomer(self, connection: Connection, proven: Proven) -> UserRow:
        strangers, invited = self._admission.strangers, None
        if strangers is not Strangers.REFUSED and proven.email is not None:
            invited = self._take_invitation(connection, proven.email)
        if invited is None and strangers is not Strangers.WELCOME:
            raise RefusedLoginError(LoginFault.STRANGER)
        role = self._admission.role_of(proven, invited or self._admission.default_role)
        return insert_user(
            connection,
            self._database,
            name=_free_name(connection, proven.called),
            email=proven.email,
            display_name=proven.display_name,
            role=role,
            password_hash=None,
            now_ms=self._clock(),
        )

    def _take_invitation(self, connection: Connection, email: str) -> Role | None:
        """Use up the latest invitation to an address and return its role; None without one."""
        query = select(links).where(
            links.c.kind == LinkKind.INVITATION,
            links.c.email == email,
            # No provider makes owners: such an invitation is taken by its link alone.
            links.c.role != Role.OWNER,
            links.c.expires_at_ms > self._clock(),
        )
        newest = query.order_by(links.c.created_at_ms.desc(), links.c.id).limit(1)
        found = connection.execute(newest).one_or_none()
        if found is None:
            return None
        if not connection.execute(delete(links).where(links.c.id == found.id)).rowcount:
            raise OvertakenError
        return Role(found.role)

    def _follow_groups(self, connection: Connection, user: UserRow, proven: Proven) -> None:
        """Give a user the role of his groups; an owner stays one, whatever a provider says."""
        if not self._admission.roles or user.role == Role.OWNER:
            return
        role = self._admission.role_of(proven, None)
        if role == user.role:
            return
        connection.execute(update(users).where(users.c.id == user.id).values(role=role))
        _void_links(connection, user.id)
        self._revocations.add(connection, RevokedKind.USER, user.id)
        self._notices.add(connection, user.id, NoticeKind.ROLE_CHANGED, NoticeFacts(role=role))


def _void_links(connection: Connection, user_id: str) -> None:
    """Void what a user has offered others as who he was, and what others were to set his password by."""
    connection.execute(delete(links).where(or_(links.c.created_by == user_id, links.c.user_id == user_id)))


def _free_name(connection: Connection, called: str) -> str:
    """Return a name that nobody has, like what somebody is called."""
    plain = _NOT_IN_NAMES.sub("-", folded(called))[:_MAX_NAME_CHARS].strip("._-") or "user"
    taken = connection.execute(select(users.c.id).filter_by(name=plain)).first()
    return plain if taken is None else f"{plain}-{secrets.token_hex(4)}"
