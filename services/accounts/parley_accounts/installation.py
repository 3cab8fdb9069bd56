"""What is made once, at the first start: the name of the installation, and the local owner with his key."""

import secrets
from pathlib import Path

from parley_contracts.accounts import LOCAL_OWNER, UserState
from parley_contracts.credentials import RevokedKind
from parley_contracts.policy import Role
from parley_storage import Database
from sqlalchemy import Connection, select, update

from parley_accounts.clock import Clock, unix_ms
from parley_accounts.opaque_secrets import hashed
from parley_accounts.revocations import Revocations
from parley_accounts.session_rows import end_sessions_of_key
from parley_accounts.tables import api_keys, installation, users

ISSUER = "issuer"
OWNER_NAME = "owner"
OWNER_KEY_FILE = "owner.key"
OWNER_KEY_ID = "owner"
"""The id of the key that `parley up` made, which does not name one itself."""


def read_issuer(connection: Connection) -> str:
    """Return what access tokens are issued by: this installation and no other."""
    return connection.execute(select(installation.c.value).filter_by(name=ISSUER)).scalar_one()


def read_owner_key(folder: Path) -> str | None:
    """Return the key that `parley up` made, or None where none was made."""
    try:
        return (folder / OWNER_KEY_FILE).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


class Installation:
    """Makes what is missing; instances that start at once make it once."""

    def __init__(self, database: Database, revocations: Revocations, *, clock: Clock = unix_ms) -> None:
        self._database = database
        self._revocations = revocations
        self._clock = clock

    async def prepare(self, owner_key: str | None) -> None:
        """Make the issuer and the local owner, who has no password; his key is what the file says now."""

        def prepare(connection: Connection) -> None:
            issuer = self._database.insert(installation)
            issuer = issuer.values(name=ISSUER, value=f"parley:{secrets.token_hex(16)}")
            connection.execute(issuer.on_conflict_do_nothing())
            owner = self._database.insert(users).values(
                id=LOCAL_OWNER,
                name=OWNER_NAME,
                display_name="Owner",
                role=Role.OWNER,
                state=UserState.ACTIVE,
                created_at_ms=self._clock(),
            )
            connection.execute(owner.on_conflict_do_nothing())
            if owner_key is not None:
                self._keep_key(connection, hashed(owner_key))

        await self._database.write(prepare)

    def _keep_key(self, connection: Connection, key_hash: str) -> None:
        row = self._database.insert(api_keys).values(
            id=OWNER_KEY_ID,
            user_id=LOCAL_OWNER,
            name="parley up",
            key_hash=key_hash,
            created_at_ms=self._clock(),
        )
        connection.execute(row.on_conflict_do_nothing())
        replaced = connection.execute(
            update(api_keys)
            .where(api_keys.c.id == OWNER_KEY_ID, api_keys.c.key_hash != key_hash)
            .values(key_hash=key_hash, revoked_at_ms=None, last_used_at_ms=None, created_at_ms=self._clock())
        )
        if replaced.rowcount:
            end_sessions_of_key(connection, self._revocations, OWNER_KEY_ID, self._clock())
            self._revocations.add(connection, RevokedKind.KEY, OWNER_KEY_ID)
