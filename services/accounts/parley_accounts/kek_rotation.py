"""Puts another key-encryption key in the place of the present one, in steps that may stop anywhere.

From the first step on everything new is sealed by the new key. What the old one has sealed is opened and
sealed anew, row by row, while it goes on being used; the old key goes when no row names it any more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from parley_contracts.policy import Permission
from parley_contracts.provider_keys import KekRotation, RotateKek
from parley_envelope.envelope import key_name, prefix_of
from parley_storage import Database
from sqlalchemy import Column, Connection, Table, func, select, update

from parley_accounts.acting import require_actor
from parley_accounts.audit_keys import purpose_of as purpose_of_audit_key
from parley_accounts.data_keys import purpose_of as purpose_of_data_key
from parley_accounts.key_ring import KEK_ROW, KeyRing, present_name
from parley_accounts.notices.link_mails import purpose_of as purpose_of_mailed_link
from parley_accounts.notices.tables import deliveries, webhooks
from parley_accounts.notices.webhooks import purpose_of as purpose_of_webhook
from parley_accounts.notices.webhooks import purpose_of_old as purpose_of_old_webhook
from parley_accounts.provider_keys import purpose_of as purpose_of_provider_key
from parley_accounts.signing_keys import CURRENT
from parley_accounts.signing_keys import purpose_of as purpose_of_signing_key
from parley_accounts.tables import audit_keys, data_keys, installation, provider_keys, signing_keys

_BATCH = 50
"""Rows of one transaction: others write in between."""


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A column of secrets, what names a row, and what the secret of a row is sealed for."""

    table: Table
    key: Column[Any]
    column: Column[Any]
    purpose_of: Callable[[Any], str]


_SEALED = (
    _Sealed(
        signing_keys,
        signing_keys.c.kid,
        signing_keys.c.private_key,
        lambda row: purpose_of_signing_key(row.kid),
    ),
    _Sealed(audit_keys, audit_keys.c.kid, audit_keys.c.private_key, purpose_of_audit_key),
    _Sealed(provider_keys, provider_keys.c.id, provider_keys.c.sealed_key, purpose_of_provider_key),
    _Sealed(webhooks, webhooks.c.id, webhooks.c.sealed_secret, purpose_of_webhook),
    _Sealed(webhooks, webhooks.c.id, webhooks.c.sealed_old_secret, purpose_of_old_webhook),
    _Sealed(deliveries, deliveries.c.id, deliveries.c.sealed_token, purpose_of_mailed_link),
    _Sealed(data_keys, data_keys.c.id, data_keys.c.sealed_key, purpose_of_data_key),
)
"""Everything in the database that the key-encryption key has sealed."""


def _others(kind: _Sealed, name: str) -> Any:
    """Return the condition under which a row's secret is sealed by another key than the named one."""
    is_by_it = kind.column.startswith(prefix_of(name), autoescape=True)
    return kind.column.is_not(None) & ~is_by_it


class KekRotations:
    """Takes the steps of rotations; several processes may, also at once."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def prepare(self) -> None:
        """Note at the first start which key seals: the one that has, or the first of the ring."""

        def prepare(connection: Connection) -> None:
            query = select(signing_keys.c.private_key).filter_by(place=CURRENT)
            sealed: str | None = connection.execute(query).scalar_one_or_none()
            name = self._ring.first_name if sealed is None else key_name(sealed)
            row = self._database.insert(installation).values(name=KEK_ROW, value=name)
            connection.execute(row.on_conflict_do_nothing())

        await self._database.write(prepare)

    async def rotate(self, request: RotateKek) -> KekRotation:
        """Take one step; the last of them says that it is done.

        Raises:
            ParleyError: `conflict` when there is nothing to rotate to.
            SealError: A secret cannot be opened; the keys stay as they are.
        """
        name = await self._database.write(partial(self._begin, request=request))
        resealed = 0
        while resealed < request.limit:
            size = min(_BATCH, request.limit - resealed)
            found = await self._database.write(partial(self._reseal, name=name, size=size))
            resealed += found
            if found < size:
                break
        left = await self._database.write(partial(self._settle, name=name))
        return KekRotation(key_name=name, resealed=resealed, left=left, is_done=left == 0)

    def _begin(self, connection: Connection, request: RotateKek) -> str:
        require_actor(connection, request, Permission.KEK_ROTATE)
        present = present_name(connection, locks=True)
        is_under_way = _left(connection, present) > 0 or self._ring.kept_name(present) != present
        if not request.begins or is_under_way:
            return present
        name = self._ring.next_name(present)
        connection.execute(update(installation).where(installation.c.name == KEK_ROW).values(value=name))
        return name

    def _reseal(self, connection: Connection, *, name: str, size: int) -> int:
        """Seal up to `size` secrets anew; return how many there were."""
        if present_name(connection) != name:
            return 0
        found = 0
        for kind in _SEALED:
            query = select(kind.table).where(_others(kind, name)).limit(size - found).with_for_update()
            for row in connection.execute(query).all():
                self._reseal_row(connection, kind, row)
                found += 1
        return found

    def _reseal_row(self, connection: Connection, kind: _Sealed, row: Any) -> None:
        purpose, sealed = kind.purpose_of(row), getattr(row, kind.column.name)
        anew = self._ring.seal(connection, self._ring.open(sealed, purpose=purpose), purpose=purpose)
        connection.execute(
            update(kind.table)
            .where(kind.key == getattr(row, kind.key.name), kind.column == sealed)
            .values({kind.column: anew})
        )

    def _settle(self, connection: Connection, *, name: str) -> int:
        """Forget older keys once nothing is sealed by them; return how many secrets still are."""
        present = present_name(connection, locks=True)
        left = _left(connection, present)
        if left == 0 and present == name:
            self._ring.settle(name)
        return left


def _left(connection: Connection, name: str) -> int:
    return sum(
        connection.execute(
            select(func.count()).select_from(kind.table).where(_others(kind, name))
        ).scalar_one()
        for kind in _SEALED
    )
