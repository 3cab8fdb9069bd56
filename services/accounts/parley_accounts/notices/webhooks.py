"""Webhooks: made, changed, tried and removed by their owners; their secrets are sealed for their rows."""

import secrets
from functools import partial
from typing import Any

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.notices import NoticeKind
from parley_contracts.policy import Permission
from parley_contracts.webhooks import (
    TEST_EVENT,
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    ListWebhooks,
    ReadWebhook,
    RotateWebhookSecret,
    TryWebhook,
    Webhook,
    WebhookCreated,
    WebhookList,
    WebhookState,
    WebhookTried,
)
from parley_egress import AddressPolicy
from parley_storage import Database
from sqlalchemy import Connection, delete, func, insert, select, update

from parley_accounts.acting import find_user, require_actor
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.key_ring import KeyRing
from parley_accounts.notices.notices import waiting_of
from parley_accounts.notices.posting import Hook, HookPoster, payload_of
from parley_accounts.notices.signatures import new_secret, shown
from parley_accounts.notices.tables import deliveries, webhooks

MAX_WEBHOOKS = 10
"""How many a user may have."""
OLD_SECRET_MS = 86_400_000
"""How long what is sent is signed by the secret before as well."""
DROPPED = "dropped"


def purpose_of(row: Any) -> str:
    """Return what a webhook's secret is sealed for: this webhook of this user."""
    return f"secret of webhook {row.id} of user {row.user_id}"


def purpose_of_old(row: Any) -> str:
    """Return what the secret before is sealed for."""
    return f"old {purpose_of(row)}"


def hook_of(row: Any, ring: KeyRing, now_ms: int) -> Hook:
    """Return where a webhook leads, with the secrets that sign now."""
    keys = [ring.open(row.sealed_secret, purpose=purpose_of(row))]
    if row.sealed_old_secret is not None and (row.old_until_ms or 0) > now_ms:
        keys.append(ring.open(row.sealed_old_secret, purpose=purpose_of_old(row)))
    return Hook(row.url, tuple(keys))


def _not_found() -> ParleyError:
    return ParleyError(ErrorCode.NOT_FOUND, "There is no such webhook.", field="webhook_id")


def _described(connection: Connection, row: Any) -> Webhook:
    known = frozenset(NoticeKind)
    kinds = None if row.kinds is None else tuple(NoticeKind(one) for one in row.kinds.split() if one in known)
    return Webhook(
        id=row.id,
        url=row.url,
        kinds=kinds,
        state=WebhookState(row.state),
        created_at_ms=row.created_at_ms,
        last_status=row.last_status,
        last_attempt_at_ms=row.last_attempt_at_ms,
        waiting=waiting_of(connection, row.id),
    )


def _words(kinds: tuple[NoticeKind, ...] | None) -> str | None:
    return None if kinds is None else " ".join(sorted(set(kinds)))


class _Row:
    """What names a webhook that is about to be made."""

    def __init__(self, webhook_id: str, user_id: str) -> None:
        self.id = webhook_id
        self.user_id = user_id


class Webhooks:
    """The webhooks of all users; each is its owner's, and to others as if it were not there."""

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        policy: AddressPolicy,
        poster: HookPoster,
        *,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._ring = ring
        self._policy = policy
        self._poster = poster
        self._clock = clock

    async def create(self, request: CreateWebhook) -> WebhookCreated:
        """Make a webhook; its secret is told here and nowhere else."""
        self._policy.check_url(request.url)

        def create(connection: Connection) -> WebhookCreated:
            actor = require_actor(connection, request, Permission.WEBHOOKS_WRITE)
            find_user(connection, actor.id, locks=True)
            standing = select(func.count()).select_from(webhooks).filter_by(user_id=actor.id)
            if connection.execute(standing).scalar_one() >= MAX_WEBHOOKS:
                message = f"There are {MAX_WEBHOOKS} webhooks; remove one first."
                raise ParleyError(ErrorCode.CONFLICT, message)
            row, secret = _Row(secrets.token_hex(16), actor.id), new_secret()
            made = insert(webhooks).values(
                id=row.id,
                user_id=row.user_id,
                url=request.url,
                kinds=_words(request.kinds),
                state=WebhookState.ACTIVE,
                sealed_secret=self._ring.seal(connection, secret, purpose=purpose_of(row)),
                created_at_ms=self._clock(),
            )
            connection.execute(made)
            webhook = _described(connection, _find(connection, actor.id, row.id))
            return WebhookCreated(webhook=webhook, secret=shown(secret))

        return await self._database.write(create)

    async def read(self, request: ReadWebhook) -> Webhook:
        """Return one of one's own."""

        def read(connection: Connection) -> Webhook:
            actor = require_actor(connection, request, Permission.WEBHOOKS_READ)
            return _described(connection, _find(connection, actor.id, request.webhook_id))

        return await self._database.read(read)

    async def list(self, request: ListWebhooks) -> WebhookList:
        """Return one's own, the oldest first."""

        def read(connection: Connection) -> WebhookList:
            actor = require_actor(connection, request, Permission.WEBHOOKS_READ)
            query = select(webhooks).filter_by(user_id=actor.id)
            rows = connection.execute(query.order_by(webhooks.c.created_at_ms, webhooks.c.id)).all()
            return WebhookList(webhooks=tuple(_described(connection, row) for row in rows))

        return await self._database.read(read)

    async def change(self, request: ChangeWebhook) -> Webhook:
        """Change what is given."""
        if request.url is not None:
            self._policy.check_url(request.url)
        return await self._database.write(partial(self._change, request=request))

    def _change(self, connection: Connection, request: ChangeWebhook) -> Webhook:
        actor = require_actor(connection, request, Permission.WEBHOOKS_WRITE)
        find_user(connection, actor.id, locks=True)
        row = _find(connection, actor.id, request.webhook_id)
        changed: dict[str, Any] = {}
        if request.url is not None:
            changed["url"] = request.url
        if request.kinds is not None:
            changed["kinds"] = _words(request.kinds)
        if request.is_enabled is not None:
            changed["state"] = WebhookState.ACTIVE if request.is_enabled else WebhookState.DISABLED
        if changed:
            connection.execute(update(webhooks).where(webhooks.c.id == row.id).values(**changed))
        if request.is_enabled is False:
            drop_waiting(connection, row.id, self._clock())
        return _described(connection, _find(connection, actor.id, row.id))

    async def delete(self, request: DeleteWebhook) -> None:
        """Remove one with what is still to be delivered."""

        def remove(connection: Connection) -> None:
            actor = require_actor(connection, request, Permission.WEBHOOKS_WRITE)
            find_user(connection, actor.id, locks=True)
            row = _find(connection, actor.id, request.webhook_id)
            connection.execute(delete(webhooks).where(webhooks.c.id == row.id))

        await self._database.write(remove)

    async def rotate_secret(self, request: RotateWebhookSecret) -> WebhookCreated:
        """Sign by another secret from now on, and for a while by the one before as well."""

        def rotate(connection: Connection) -> WebhookCreated:
            actor = require_actor(connection, request, Permission.WEBHOOKS_WRITE)
            find_user(connection, actor.id, locks=True)
            row, secret = _find(connection, actor.id, request.webhook_id), new_secret()
            before = self._ring.open(row.sealed_secret, purpose=purpose_of(row))
            changed = {
                "sealed_secret": self._ring.seal(connection, secret, purpose=purpose_of(row)),
                "sealed_old_secret": self._ring.seal(connection, before, purpose=purpose_of_old(row)),
                "old_until_ms": self._clock() + OLD_SECRET_MS,
            }
            connection.execute(update(webhooks).where(webhooks.c.id == row.id).values(**changed))
            webhook = _described(connection, _find(connection, actor.id, row.id))
            return WebhookCreated(webhook=webhook, secret=shown(secret))

        return await self._database.write(rotate)

    async def try_out(self, request: TryWebhook) -> WebhookTried:
        """Send a test now, once, whatever the webhook's state."""

        def read(connection: Connection) -> tuple[str, Hook]:
            actor = require_actor(connection, request, Permission.WEBHOOKS_WRITE)
            row = _find(connection, actor.id, request.webhook_id)
            return row.id, hook_of(row, self._ring, self._clock())

        webhook_id, hook = await self._database.read(read)
        body = payload_of(TEST_EVENT, self._clock(), {"webhook_id": webhook_id})
        attempt = await self._poster.post(hook, f"test_{secrets.token_hex(8)}", body)

        def note(connection: Connection) -> None:
            note_attempt(connection, webhook_id, attempt.status, self._clock())

        await self._database.write(note)
        return WebhookTried(is_delivered=attempt.is_done, status=attempt.status, problem=attempt.problem)


def _find(connection: Connection, user_id: str, webhook_id: str) -> Any:
    row = connection.execute(select(webhooks).filter_by(id=webhook_id, user_id=user_id)).one_or_none()
    if row is None:
        raise _not_found()
    return row


def note_attempt(connection: Connection, webhook_id: str, status: int | None, now_ms: int) -> None:
    """Keep what a webhook's server answered last."""
    noted = update(webhooks).where(webhooks.c.id == webhook_id)
    connection.execute(noted.values(last_status=status, last_attempt_at_ms=now_ms))


def switch_off_all(connection: Connection, user_id: str) -> None:
    """Send nothing more to any webhook of a user; what waits is dropped when it is due."""
    of_user = update(webhooks).where(webhooks.c.user_id == user_id)
    connection.execute(of_user.values(state=WebhookState.DISABLED))


def drop_waiting(connection: Connection, webhook_id: str, now_ms: int) -> None:
    """Send nothing more of what waits for a webhook."""
    waiting = update(deliveries).where(deliveries.c.webhook_id == webhook_id, deliveries.c.outcome.is_(None))
    connection.execute(waiting.values(outcome=DROPPED, ended_at_ms=now_ms))
