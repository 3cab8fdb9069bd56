"""What is still to be delivered: taken by lease, so that processes share it and none that dies loses any.

A delivery may be made twice, when who made it dies before it is noted; its message id is the same then.
"""

import logging
import secrets
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from parley_contracts.accounts import UserState
from parley_contracts.notices import Notice, NoticeFacts, NoticeKind
from parley_contracts.webhooks import WebhookState
from parley_storage import Database
from sqlalchemy import Connection, and_, delete, func, or_, select, update

from parley_accounts.acting import find_user
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.key_ring import KeyRing
from parley_accounts.notices.link_mails import LinkToMail, link_of
from parley_accounts.notices.notices import Notices, described
from parley_accounts.notices.posting import Attempt, Hook
from parley_accounts.notices.retries import Random, next_try_ms
from parley_accounts.notices.tables import deliveries, notices, webhooks
from parley_accounts.notices.webhooks import DROPPED, drop_waiting, hook_of, note_attempt
from parley_accounts.tables import links

log = logging.getLogger("parley.accounts")

DONE, GIVEN_UP = "done", "given_up"
LEASE_MS = 90_000
"""Longer than any attempt takes."""
AT_ONCE_OF_USER = 3
"""How many deliveries of one user are made at once: his slow servers are not what others wait for."""
KEPT_MS = 30 * 86_400_000

_IS_WAITING = deliveries.c.outcome.is_(None)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery that is this process's to make, with what it takes.

    Attributes:
        id: Its row.
        user_id: Whose it is.
        notice: What is told; None for a link.
        hook: Where to post; None for mail.
        webhook_id: The webhook that is posted to.
        address: Where to mail to.
        link: The link that is mailed; None for a notice.
    """

    id: str
    user_id: str
    notice: Notice | None = None
    hook: Hook | None = None
    webhook_id: str | None = None
    address: str | None = None
    link: LinkToMail | None = None


class Deliveries:
    """Takes what is due, and notes what became of it."""

    def __init__(
        self, database: Database, ring: KeyRing, told: Notices, *, random: Random, clock: Clock = unix_ms
    ) -> None:
        self._database = database
        self._ring = ring
        self._notices = told
        self._random = random
        self._clock = clock
        self._lessee = secrets.token_hex(8)

    async def take(self, most: int) -> list[Delivery]:
        """Take up to `most` that are due; nobody else does before the lease ends."""
        return await self._database.write(lambda connection: self._take(connection, most))

    def _take(self, connection: Connection, most: int) -> list[Delivery]:
        now_ms = self._clock()
        is_free = or_(deliveries.c.leased_until_ms.is_(None), deliveries.c.leased_until_ms <= now_ms)
        is_due = and_(_IS_WAITING, deliveries.c.next_try_at_ms <= now_ms, is_free)
        busy = _busy_users(connection, now_ms)
        full = [user_id for user_id, count in busy.items() if count >= AT_ONCE_OF_USER]
        query = select(deliveries).where(is_due, deliveries.c.user_id.not_in(full))
        ordered = query.order_by(deliveries.c.next_try_at_ms, deliveries.c.id).limit(most * 4)
        taken: list[Delivery] = []
        for row in connection.execute(ordered.with_for_update(skip_locked=True)).all():
            if len(taken) >= most or busy[row.user_id] >= AT_ONCE_OF_USER:
                continue
            try:
                delivery = self._complete(connection, row, now_ms)
            except ValueError:
                # Sealed under a key that is gone, or of a kind that is not known here: others go on.
                log.exception("a delivery cannot be made", extra={"delivery_id": row.id})
                _end(connection, row.id, GIVEN_UP, now_ms)
                continue
            if delivery is None:
                _end(connection, row.id, DROPPED, now_ms)
                continue
            leased = {"leased_by": self._lessee, "leased_until_ms": now_ms + LEASE_MS}
            tried = update(deliveries).where(deliveries.c.id == row.id)
            connection.execute(tried.values(**leased, attempts=deliveries.c.attempts + 1))
            busy[row.user_id] += 1
            taken.append(delivery)
        return taken

    def _complete(self, connection: Connection, row: Any, now_ms: int) -> Delivery | None:
        """Return a delivery with what it takes as it is now; None when there is nothing to deliver."""
        user = find_user(connection, row.user_id)
        if user is None or user.state != UserState.ACTIVE:
            return None
        delivery = Delivery(row.id, row.user_id)
        if row.link_id is not None:
            return self._with_link(connection, delivery, row, now_ms)
        found = connection.execute(select(notices).filter_by(id=row.notice_id)).one_or_none()
        if found is None:
            return None
        delivery = replace(delivery, notice=described(found))
        if row.webhook_id is None:
            return replace(delivery, address=user.email) if self._notices.may_mail(user) else None
        webhook = connection.execute(select(webhooks).filter_by(id=row.webhook_id)).one_or_none()
        if webhook is None or webhook.state == WebhookState.DISABLED:
            return None
        hook = hook_of(webhook, self._ring, now_ms)
        return replace(delivery, hook=hook, webhook_id=webhook.id)

    def _with_link(
        self, connection: Connection, delivery: Delivery, row: Any, now_ms: int
    ) -> Delivery | None:
        link = connection.execute(select(links).filter_by(id=row.link_id)).one_or_none()
        if link is None or link.expires_at_ms <= now_ms or row.sealed_token is None:
            return None
        return replace(delivery, address=row.address, link=link_of(row, link, self._ring))

    async def note(self, delivery: Delivery, attempt: Attempt) -> None:
        """Note what became of a delivery; of one whose lease another has taken over, nothing."""
        await self._database.write(lambda connection: self._note(connection, delivery, attempt))

    def _note(self, connection: Connection, delivery: Delivery, attempt: Attempt) -> None:
        # Locked in the order of `Notices.add`: user, then what is his.
        find_user(connection, delivery.user_id, locks=True)
        query = select(deliveries).filter_by(id=delivery.id, leased_by=self._lessee, outcome=None)
        row = connection.execute(query.with_for_update()).one_or_none()
        if row is None:
            return
        now_ms = self._clock()
        if delivery.webhook_id is not None:
            note_attempt(connection, delivery.webhook_id, attempt.status, now_ms)
        if attempt.is_done:
            _end(connection, row.id, DONE, now_ms)
            self._mark(connection, delivery, WebhookState.FAILING, WebhookState.ACTIVE)
            return
        again_ms = None
        if not attempt.is_final:
            again_ms = next_try_ms(
                row.attempts,
                now_ms=now_ms,
                gives_up_at_ms=row.gives_up_at_ms,
                random=self._random,
                asked_s=attempt.asked_s,
            )
        if again_ms is not None:
            later = update(deliveries).where(deliveries.c.id == row.id)
            connection.execute(later.values(next_try_at_ms=again_ms, leased_by=None, leased_until_ms=None))
            return
        _end(connection, row.id, GIVEN_UP, now_ms)
        self._give_up(connection, delivery, attempt, now_ms)

    def _give_up(self, connection: Connection, delivery: Delivery, attempt: Attempt, now_ms: int) -> None:
        if delivery.webhook_id is None:
            return
        facts = NoticeFacts(webhook_id=delivery.webhook_id, status=attempt.status)
        if attempt.is_gone:
            if self._mark(connection, delivery, None, WebhookState.DISABLED):
                drop_waiting(connection, delivery.webhook_id, now_ms)
                self._notices.add(connection, delivery.user_id, NoticeKind.WEBHOOK_DISABLED, facts)
        elif self._mark(connection, delivery, WebhookState.ACTIVE, WebhookState.FAILING):
            self._notices.add(connection, delivery.user_id, NoticeKind.WEBHOOK_FAILING, facts)

    def _mark(
        self, connection: Connection, delivery: Delivery, before: WebhookState | None, state: WebhookState
    ) -> bool:
        """Change a webhook's state, from one state if it is given; return whether it has changed."""
        changed = update(webhooks).where(webhooks.c.id == delivery.webhook_id, webhooks.c.state != state)
        if before is not None:
            changed = changed.where(webhooks.c.state == before)
        return connection.execute(changed.values(state=state)).rowcount > 0

    async def sweep(self) -> None:
        """Give up what nobody could end in time, and forget what ended long ago."""
        await self._database.write(self._sweep)

    def _sweep(self, connection: Connection) -> None:
        now_ms = self._clock()
        left = update(deliveries).where(
            _IS_WAITING,
            deliveries.c.attempts > 0,
            deliveries.c.gives_up_at_ms < now_ms - LEASE_MS,
            or_(deliveries.c.leased_until_ms.is_(None), deliveries.c.leased_until_ms < now_ms),
        )
        connection.execute(left.values(outcome=GIVEN_UP, ended_at_ms=now_ms, sealed_token=None))
        outlived = update(webhooks).where(webhooks.c.old_until_ms < now_ms)
        connection.execute(outlived.values(sealed_old_secret=None, old_until_ms=None))
        connection.execute(delete(deliveries).where(deliveries.c.ended_at_ms < now_ms - KEPT_MS))
        connection.execute(delete(notices).where(notices.c.at_ms < now_ms - 3 * KEPT_MS))


def _busy_users(connection: Connection, now_ms: int) -> Counter[str]:
    """Return how many deliveries of each user are being made."""
    query = select(deliveries.c.user_id, func.count().label("busy")).where(
        _IS_WAITING, deliveries.c.leased_until_ms > now_ms
    )
    rows = connection.execute(query.group_by(deliveries.c.user_id)).all()
    return Counter({row.user_id: row.busy for row in rows})


def _end(connection: Connection, delivery_id: str, outcome: str, now_ms: int) -> None:
    ended = {"outcome": outcome, "ended_at_ms": now_ms, "sealed_token": None, "leased_until_ms": None}
    connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(**ended))
