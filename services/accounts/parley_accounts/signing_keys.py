"""The keys that sign access tokens: one signs, one is published to be next, old ones outlive their tokens."""

import secrets
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from parley_contracts.credentials import (
    PublishedKey,
    PublishedKeys,
    ReadPublishedKeys,
    RotateSigningKey,
    SigningKeysChanged,
)
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.policy import Permission
from parley_identity import published
from parley_storage import Database
from sqlalchemy import Connection, or_, select, update

from parley_accounts.acting import require_actor
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.installation import read_issuer
from parley_accounts.key_ring import KeyRing
from parley_accounts.outbox import add_event
from parley_accounts.revocations import SPARE_MS
from parley_accounts.tables import signing_keys

CURRENT, NEXT = "current", "next"


def purpose_of(kid: str) -> str:
    """Return what the private part of a key is sealed for."""
    return f"signing key {kid}"


class SigningKeys:
    """Makes, publishes and rotates keys; private parts leave the database sealed and stay in this process."""

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        *,
        access_token_s: int,
        published_ahead_s: float = 60.0,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._ring = ring
        self._outlives_ms = access_token_s * 1000 + SPARE_MS
        self._published_ahead_ms = round(published_ahead_s * 1000)
        self._clock = clock
        self._opened: tuple[str, Ed25519PrivateKey] | None = None

    async def prepare(self) -> None:
        """Make the first two keys unless they are there; SealError when the first cannot be opened."""
        await self._database.write(self._make_missing)
        await self._database.read(self.current)

    def current(self, connection: Connection) -> tuple[str, Ed25519PrivateKey]:
        """Return name and private part of the key that signs now."""
        query = select(signing_keys.c.kid, signing_keys.c.private_key).filter_by(place=CURRENT)
        row = connection.execute(query).one()
        opened = self._opened
        if opened is None or opened[0] != row.kid:
            raw = self._ring.open(row.private_key, purpose=purpose_of(row.kid))
            opened = self._opened = (row.kid, Ed25519PrivateKey.from_private_bytes(raw))
        return opened

    async def publish(self, _: ReadPublishedKeys) -> PublishedKeys:
        """Return the public keys."""
        return await self._database.read(self._published)

    async def rotate(self, request: RotateSigningKey) -> PublishedKeys:
        """Let the next key sign; `conflict` while it has not been published for long enough."""
        return await self._database.write(partial(self._rotate, request=request))

    def _rotate(self, connection: Connection, request: RotateSigningKey) -> PublishedKeys:
        require_actor(connection, request, Permission.SIGNING_KEYS_WRITE)
        now_ms = self._clock()
        # Who waits here for another rotation finds no current key, and nothing to rotate.
        old = connection.execute(
            select(signing_keys).filter_by(place=CURRENT).with_for_update()
        ).one_or_none()
        new = connection.execute(select(signing_keys).filter_by(place=NEXT)).one_or_none()
        is_young = new is not None and now_ms - new.created_at_ms < self._published_ahead_ms
        if old is None or new is None or (is_young and not request.is_compromised):
            message = "The next key has not been published for long enough."
            raise ParleyError(ErrorCode.CONFLICT, message, retryable=True)
        until_ms = now_ms if request.is_compromised else now_ms + self._outlives_ms
        self._move(connection, old.kid, place=None, private_key=None, published_until_ms=until_ms)
        self._move(connection, new.kid, place=CURRENT)
        self._make(connection, NEXT)
        add_event(connection, SigningKeysChanged(current_kid=new.kid, changed_at_ms=now_ms), now_ms)
        return self._published(connection)

    def _move(self, connection: Connection, kid: str, **values: object) -> None:
        connection.execute(update(signing_keys).where(signing_keys.c.kid == kid).values(**values))

    def _make_missing(self, connection: Connection) -> None:
        for place in (CURRENT, NEXT):
            if connection.execute(select(signing_keys.c.kid).filter_by(place=place)).first() is None:
                self._make(connection, place)

    def _make(self, connection: Connection, place: str) -> None:
        """Add a key; where another instance has been faster, its key is the one."""
        key, kid = Ed25519PrivateKey.generate(), secrets.token_hex(8)
        row = {
            "kid": kid,
            "place": place,
            "public_key": published(kid, key.public_key()).x,
            "private_key": self._ring.seal(connection, key.private_bytes_raw(), purpose=purpose_of(kid)),
            "created_at_ms": self._clock(),
        }
        into = self._database.insert(signing_keys).values(**row)
        connection.execute(into.on_conflict_do_nothing(index_elements=["place"]))

    def _published(self, connection: Connection) -> PublishedKeys:
        is_alive = or_(signing_keys.c.place.is_not(None), signing_keys.c.published_until_ms > self._clock())
        query = (
            select(signing_keys).where(is_alive).order_by(signing_keys.c.created_at_ms, signing_keys.c.kid)
        )
        rows = connection.execute(query).all()
        keys = tuple(PublishedKey(kid=row.kid, x=row.public_key) for row in rows)
        return PublishedKeys(issuer=read_issuer(connection), keys=keys)
