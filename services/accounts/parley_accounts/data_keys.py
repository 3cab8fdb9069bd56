"""Data keys, which uploaded originals are sealed under: kept sealed, told to services, replaced on demand."""

from functools import partial
from typing import Any

from parley_contracts.data_keys import DataKeyRotation, ReadDataKey, RotateDataKey, ToldDataKey
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission
from parley_envelope import DataKey, SealError, new_data_key
from parley_envelope.key_delivery import tell_key
from parley_storage import Database
from sqlalchemy import Connection, func, select, update

from parley_accounts.acting import require_actor
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.key_ring import KeyRing
from parley_accounts.tables import data_keys

ORIGINALS = "originals"


def purpose_of(row: Any) -> str:
    """Return what a row's key is sealed for: this row, and what the key is for."""
    return f"data key {row.id} for {row.purpose}"


class DataKeyRows:
    """All keys that anything is sealed under: one seals, the others open what they have sealed."""

    def __init__(self, database: Database, ring: KeyRing, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._ring = ring
        self._clock = clock

    async def prepare(self) -> None:
        """Make the first key unless there is one."""
        await self._database.write(self._make)

    async def tell(self, request: ReadDataKey) -> ToldDataKey:
        """Return a key, sealed to whoever asks.

        Raises:
            ParleyError: `not_found` when there is no such key, `invalid_request` for what is no public key.
        """
        key = await self._database.read(partial(self._find, key_id=request.key_id))
        try:
            return tell_key(key, request.public_key)
        except SealError as error:
            raise ParleyError(
                ErrorCode.INVALID_REQUEST, "This is no public key.", field="public_key"
            ) from error

    async def rotate(self, request: RotateDataKey) -> DataKeyRotation:
        """Have another key seal from now on; what is sealed goes on being opened by its own."""
        return await self._database.write(partial(self._rotate, request=request))

    def _find(self, connection: Connection, *, key_id: str | None) -> DataKey:
        is_wanted = data_keys.c.seals_for == ORIGINALS if key_id is None else data_keys.c.id == key_id
        row = connection.execute(select(data_keys).where(is_wanted)).one_or_none()
        if row is None:
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such data key.", field="key_id")
        return DataKey(row.id, self._ring.open(row.sealed_key, purpose=purpose_of(row)))

    def _rotate(self, connection: Connection, *, request: RotateDataKey) -> DataKeyRotation:
        require_actor(connection, request, Permission.KEK_ROTATE)
        seals = data_keys.c.seals_for == ORIGINALS
        # Who waits here for another rotation retires the key that this one has made.
        connection.execute(select(data_keys.c.id).where(seals).with_for_update())
        retired = update(data_keys).where(seals).values(seals_for=None, retired_at_ms=self._clock())
        connection.execute(retired)
        self._make(connection)
        key_id = connection.execute(select(data_keys.c.id).where(seals)).scalar_one()
        keys = connection.execute(select(func.count()).select_from(data_keys)).scalar_one()
        return DataKeyRotation(key_id=key_id, keys=keys)

    def _make(self, connection: Connection) -> None:
        """Add the key that seals; where another instance has been faster, its key is the one."""
        key = new_data_key()
        purpose = purpose_of(_Row(key.id, ORIGINALS))
        made = self._database.insert(data_keys).values(
            id=key.id,
            purpose=ORIGINALS,
            seals_for=ORIGINALS,
            sealed_key=self._ring.seal(connection, key.secret, purpose=purpose),
            created_at_ms=self._clock(),
        )
        connection.execute(made.on_conflict_do_nothing(index_elements=["seals_for"]))


class _Row:
    """What names a row that is about to be made."""

    def __init__(self, key_id: str, purpose: str) -> None:
        self.id = key_id
        self.purpose = purpose
