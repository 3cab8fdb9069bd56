"""Notices are written down in the transaction of what they tell, with what is to be delivered of them."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from parley_contracts.accounts import UserState
from parley_contracts.notices import Notice, NoticeChanged, NoticeFacts, NoticeKind
from parley_contracts.webhooks import WebhookState
from sqlalchemy import Connection, delete, func, insert, select, update

from parley_accounts.acting import UserRow, find_user
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.notices.kinds import DELIVERED_AFTER_MS, GATHERING_MS, RULES
from parley_accounts.notices.retries import GIVE_UP_MS
from parley_accounts.notices.tables import deliveries, notice_settings, notices, webhooks
from parley_accounts.outbox import add_event

MAIL = "mail"
"""The target of what is mailed; that of what is posted is the webhook's id."""
MAX_OF_KIND = 100
"""How many notices of one kind a user has; the oldest make room."""
MAX_WAITING_OF_KIND = 100
"""How many deliveries of a kind may wait for one webhook; what comes then of it is not sent there."""
ALL_PERCENT = 100
_DAY_MS = 86_400_000
_TOLD_EVERY_MS = 1000


@dataclass(frozen=True, slots=True)
class Ways:
    """In which ways somebody is told of one kind."""

    in_app: bool
    mail: bool
    webhook: bool


def chosen_ways(connection: Connection, user_id: str) -> dict[NoticeKind, Ways]:
    """Return in which ways a user is told, for every kind."""
    ways = {kind: Ways(in_app=True, mail=rule.mail, webhook=True) for kind, rule in RULES.items()}
    for row in connection.execute(select(notice_settings).filter_by(user_id=user_id)):
        if row.kind in RULES:
            ways[NoticeKind(row.kind)] = Ways(in_app=row.in_app, mail=row.mail, webhook=row.webhook)
    return ways


def described(row: Any) -> Notice:
    """Return a notice as its user sees it."""
    return Notice(
        id=row.id,
        kind=NoticeKind(row.kind),
        at_ms=row.at_ms,
        count=row.times,
        read_at_ms=row.read_at_ms,
        facts=NoticeFacts.model_validate_json(row.facts),
    )


def unread_of(connection: Connection, user_id: str) -> int:
    """Return how many notices a user has not read."""
    count = select(func.count()).select_from(notices)
    query = count.where(notices.c.user_id == user_id, notices.c.is_shown, notices.c.read_at_ms.is_(None))
    return connection.execute(query).scalar_one()


class Notices:
    """Writes notices down; one function for everything that users are told of."""

    def __init__(self, *, can_mail: bool, clock: Clock = unix_ms) -> None:
        self.can_mail = can_mail
        self._clock = clock

    def add(
        self,
        connection: Connection,
        user_id: str,
        kind: NoticeKind,
        facts: NoticeFacts | None = None,
        *,
        source: str | None = None,
        count: int = 1,
    ) -> None:
        """Tell a user of something, in the ways that are set; nothing when he is not there.

        Locks the user's row, so that two at once gather and count as one after the other.

        Args:
            connection: In the transaction of what is told.
            user_id: Who is told.
            kind: Of what.
            facts: Ids and small facts, never what people wrote.
            source: What may come more than once is told once for each source.
            count: How many of the kind there were.
        """
        user = find_user(connection, user_id, locks=True)
        if user is None or self._is_told(connection, user_id, source):
            return
        now_ms, told = self._clock(), facts or NoticeFacts()
        if RULES[kind].gathers and self._gather(connection, user_id, kind, told, count=count, now_ms=now_ms):
            return
        ways = chosen_ways(connection, user_id)[kind]
        targets = self._targets(connection, user, kind, ways, now_ms)
        if not ways.in_app and not targets:
            return
        notice_id = secrets.token_hex(16)
        row = {
            "id": notice_id,
            "user_id": user_id,
            "kind": kind,
            "source": source,
            "at_ms": now_ms,
            "times": count,
            "gathers_until_ms": now_ms + (GATHERING_MS if RULES[kind].gathers else 0),
            "is_shown": ways.in_app,
            "facts": _as_json(told),
        }
        connection.execute(insert(notices).values(**row))
        first_ms = now_ms + (DELIVERED_AFTER_MS if RULES[kind].gathers else 0)
        self._deliver(connection, user_id, notice_id, targets, now_ms=now_ms, first_ms=first_ms)
        self._make_room(connection, user_id, kind)
        if ways.in_app:
            add_event(connection, NoticeChanged(user_id=user_id), now_ms)

    def tell_quota(
        self, connection: Connection, user_id: str, *, quota: str, period: str, percent: int
    ) -> None:
        """Tell a user how much of a quota is used, once for each threshold of a period.

        Args:
            connection: In the transaction that counts.
            user_id: Whose quota it is.
            quota: Which, such as `tokens_day`.
            period: The day or month that it counts.
            percent: The threshold that was reached.
        """
        kind = NoticeKind.QUOTA_REACHED if percent >= ALL_PERCENT else NoticeKind.QUOTA_NEAR
        facts = NoticeFacts(quota=quota, percent=percent)
        self.add(connection, user_id, kind, facts, source=f"quota {quota} {period} {percent}")

    def tell_export(self, connection: Connection, user_id: str, export_id: str) -> None:
        """Tell a user that an export of his data is ready, once."""
        facts = NoticeFacts(export_id=export_id)
        self.add(connection, user_id, NoticeKind.EXPORT_READY, facts, source=f"export {export_id}")

    def _is_told(self, connection: Connection, user_id: str, source: str | None) -> bool:
        query = select(notices.c.id).filter_by(user_id=user_id, source=source)
        return source is not None and connection.execute(query).first() is not None

    def _gather(
        self,
        connection: Connection,
        user_id: str,
        kind: NoticeKind,
        facts: NoticeFacts,
        *,
        count: int,
        now_ms: int,
    ) -> bool:
        """Count it in the notice of its kind that still gathers; False when there is none."""
        query = select(notices).where(
            notices.c.user_id == user_id, notices.c.kind == kind, notices.c.gathers_until_ms > now_ms
        )
        found = connection.execute(query.order_by(notices.c.at_ms.desc()).limit(1)).one_or_none()
        if found is None:
            return False
        changed = {
            "times": found.times + count,
            "at_ms": now_ms,
            "facts": _as_json(facts),
            "read_at_ms": None,
        }
        connection.execute(update(notices).where(notices.c.id == found.id).values(**changed))
        is_news = found.read_at_ms is not None or now_ms - found.at_ms >= _TOLD_EVERY_MS
        if found.is_shown and is_news:
            add_event(connection, NoticeChanged(user_id=user_id), now_ms)
        return True

    def _targets(
        self, connection: Connection, user: UserRow, kind: NoticeKind, ways: Ways, now_ms: int
    ) -> dict[str, str | None]:
        """Return target to webhook of what is to be delivered."""
        rule, targets = RULES[kind], dict[str, str | None]()
        if (ways.mail or rule.is_always_mailed) and self.may_mail(user):
            most = rule.mails_a_day
            if most is None or _mails_of(connection, user.id, kind, since_ms=now_ms - _DAY_MS) < most:
                targets[MAIL] = None
        if ways.webhook and rule.in_webhooks:
            open_ones = select(webhooks).where(
                webhooks.c.user_id == user.id, webhooks.c.state != WebhookState.DISABLED
            )
            for webhook in connection.execute(open_ones).all():
                is_wanted = webhook.kinds is None or kind in webhook.kinds.split()
                if is_wanted and waiting_of(connection, webhook.id, kind) < MAX_WAITING_OF_KIND:
                    targets[webhook.id] = webhook.id
        return targets

    def may_mail(self, user: UserRow) -> bool:
        """Return whether a user can be told by mail."""
        return self.can_mail and user.email is not None and user.state == UserState.ACTIVE

    def _deliver(
        self,
        connection: Connection,
        user_id: str,
        notice_id: str,
        targets: dict[str, str | None],
        *,
        now_ms: int,
        first_ms: int,
    ) -> None:
        for target, webhook_id in targets.items():
            row = new_delivery(user_id, target, now_ms=now_ms, first_ms=first_ms)
            connection.execute(insert(deliveries).values(**row, notice_id=notice_id, webhook_id=webhook_id))

    def _make_room(self, connection: Connection, user_id: str, kind: NoticeKind) -> None:
        of_kind = select(notices.c.id).filter_by(user_id=user_id, kind=kind)
        newest = of_kind.order_by(notices.c.at_ms.desc(), notices.c.id)
        surplus = connection.execute(newest.offset(MAX_OF_KIND)).scalars().all()
        if surplus:
            connection.execute(delete(notices).where(notices.c.id.in_(surplus)))


def new_delivery(user_id: str, target: str, *, now_ms: int, first_ms: int) -> dict[str, Any]:
    """Return the columns that every delivery has."""
    return {
        "id": secrets.token_hex(16),
        "user_id": user_id,
        "target": target,
        "created_at_ms": now_ms,
        "gives_up_at_ms": first_ms + GIVE_UP_MS,
        "attempts": 0,
        "next_try_at_ms": first_ms,
    }


def _mails_of(connection: Connection, user_id: str, kind: NoticeKind, *, since_ms: int) -> int:
    """Return how many mails of a kind a user was to get since a time."""
    made = select(func.count()).select_from(deliveries.join(notices, deliveries.c.notice_id == notices.c.id))
    of_kind = made.where(deliveries.c.user_id == user_id, deliveries.c.target == MAIL, notices.c.kind == kind)
    return connection.execute(of_kind.where(deliveries.c.created_at_ms > since_ms)).scalar_one()


def waiting_of(connection: Connection, webhook_id: str, kind: NoticeKind | None = None) -> int:
    """Return how many deliveries wait for a webhook, of one kind or in all."""
    waiting = deliveries if kind is None else deliveries.join(notices, deliveries.c.notice_id == notices.c.id)
    query = select(func.count()).select_from(waiting)
    query = query.where(deliveries.c.webhook_id == webhook_id, deliveries.c.outcome.is_(None))
    return connection.execute(query if kind is None else query.where(notices.c.kind == kind)).scalar_one()


def _as_json(facts: NoticeFacts) -> str:
    return json.dumps(facts.model_dump(mode="json", exclude_none=True), separators=(",", ":"))
