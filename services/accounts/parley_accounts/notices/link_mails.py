"""Links that are mailed: invitations, and links that set a password for who has forgotten his."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from parley_contracts.accounts import ForgotPassword, UserState
from parley_storage import Database
from sqlalchemy import Connection, delete, func, insert, or_, select

from parley_accounts.acting import find_user
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.key_ring import KeyRing
from parley_accounts.links import LinkKind, Links
from parley_accounts.login_names import folded
from parley_accounts.notices.notices import MAIL, new_delivery
from parley_accounts.notices.tables import deliveries, forgotten_passwords
from parley_accounts.tables import links, users

BETWEEN_MAILS_MS = 15 * 60_000
"""Within it a user is mailed one link, however often somebody asks."""
MOST_WAITING = 1000
"""Full rule: what is asked then is not looked up; the answer is the same."""
_BATCH = 50


@dataclass(frozen=True, slots=True)
class LinkToMail:
    """What a mail about a link says."""

    kind: LinkKind
    expires_at_ms: int
    token: str = field(repr=False)


def purpose_of(row: Any) -> str:
    """Return what the token of a delivery is sealed for: this delivery of this link."""
    return f"token of delivery {row.id} of link {row.link_id}"


def link_of(row: Any, link: Any, ring: KeyRing) -> LinkToMail:
    """Return what a delivery mails."""
    token = ring.open(row.sealed_token, purpose=purpose_of(row)).decode()
    return LinkToMail(LinkKind(link.kind), link.expires_at_ms, token)


class _Row:
    """What names a delivery that is about to be made."""

    def __init__(self, delivery_id: str, link_id: str) -> None:
        self.id = delivery_id
        self.link_id = link_id


class LinkMails:
    """Has links mailed, in the transaction that makes them; the token is sealed until it is sent."""

    def __init__(self, ring: KeyRing, *, can_mail: bool, clock: Clock = unix_ms) -> None:
        self._ring = ring
        self._can_mail = can_mail
        self._clock = clock

    def add(
        self, connection: Connection, *, link_id: str, token: str, user_id: str, address: str | None
    ) -> bool:
        """Have a link mailed on behalf of a user; False when there is no address, or no server."""
        if not self._can_mail or address is None:
            return False
        now_ms = self._clock()
        row = new_delivery(user_id, MAIL, now_ms=now_ms, first_ms=now_ms)
        sealed = self._ring.seal(connection, token.encode(), purpose=purpose_of(_Row(row["id"], link_id)))
        connection.execute(
            insert(deliveries).values(**row, link_id=link_id, address=address, sealed_token=sealed)
        )
        return True


class ForgottenPasswords:
    """Takes what anybody asks in the same way and time; whether there is such a user is looked up later."""

    def __init__(
        self, database: Database, made: Links, mails: LinkMails, *, can_mail: bool, clock: Clock = unix_ms
    ) -> None:
        self._database = database
        self._links = made
        self._mails = mails
        self._can_mail = can_mail
        self._clock = clock

    async def ask(self, request: ForgotPassword) -> None:
        """Note that somebody asks; it is looked up when he has been answered."""
        if not self._can_mail:
            return

        def note(connection: Connection) -> None:
            waiting = connection.execute(select(func.count()).select_from(forgotten_passwords)).scalar_one()
            if waiting < MOST_WAITING:
                row = {"id": secrets.token_hex(8), "login": request.login, "asked_at_ms": self._clock()}
                connection.execute(insert(forgotten_passwords).values(**row))

        await self._database.write(note)

    async def look_up(self) -> bool:
        """Make links for those who asked and have an address; return whether there may be more."""
        return await self._database.write(self._look_up) == _BATCH

    def _look_up(self, connection: Connection) -> int:
        oldest = select(forgotten_passwords).order_by(forgotten_passwords.c.asked_at_ms).limit(_BATCH)
        rows = connection.execute(oldest.with_for_update(skip_locked=True)).all()
        logins = sorted({folded(row.login) for row in rows})
        found = select(users.c.id).where(or_(users.c.name.in_(logins), users.c.email.in_(logins)))
        # Sorted: whoever locks several users does so in this order.
        for user_id in sorted(connection.execute(found).scalars()):
            self._make(connection, user_id)
        gone = [row.id for row in rows]
        connection.execute(delete(forgotten_passwords).where(forgotten_passwords.c.id.in_(gone)))
        return len(rows)

    def _make(self, connection: Connection, user_id: str) -> None:
        user = find_user(connection, user_id, locks=True)
        if user is None or user.email is None or user.password_hash is None or user.state != UserState.ACTIVE:
            return
        recent = select(links.c.id).where(
            links.c.kind == LinkKind.PASSWORD_RESET,
            links.c.user_id == user.id,
            links.c.created_by == user.id,
            links.c.created_at_ms > self._clock() - BETWEEN_MAILS_MS,
        )
        if connection.execute(recent).first() is None:
            link = self._links.make_reset(connection, user.id, created_by=user.id)
            told = {"link_id": link.id, "token": link.token}
            self._mails.add(connection, **told, user_id=user.id, address=user.email)
