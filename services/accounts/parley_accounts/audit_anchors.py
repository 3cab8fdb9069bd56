"""Signs the head of the audit's chain, every so often, and publishes what was signed.

Nothing is signed that does not follow from what was signed before: a chain that was written anew, or cut,
stays without an anchor, and the log and a metric say so. The same goes for a chain whose key is missing, or
whose signatures are another key's.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Protocol

from parley_contracts import stream_names, subjects
from parley_contracts.audit import AnchorKind, AuditAnchored, AuditRow
from parley_contracts.errors import ParleyError
from parley_contracts.model import WireModel
from parley_identity.audit_chain import Break, ChainCheck, ChainFault, is_signed
from parley_messaging.bus import OnReconnect, StoredMessage
from parley_storage import Database
from pydantic import ValidationError
from sqlalchemy import Connection, select

from parley_accounts.audit_keys import AuditKeys
from parley_accounts.audit_rows import HEAD
from parley_accounts.clock import Clock, unix_ms
from parley_accounts.tables import audit_anchors, audit_head, audit_log

log = logging.getLogger("parley.accounts")

FOREVER = 2**62
MOST_ROWS = 2000
"""Between two anchors: so many are looked at in one transaction."""


class AnchorBus(Protocol):
    """The part of the bus that keeps anchors where the database's administrator cannot change them."""

    def on_reconnect(self, tell: OnReconnect) -> None:
        """Call `tell` whenever the bus is back."""
        ...

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        """Publish and wait for the acknowledgement; raise when none comes."""
        ...

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        """Return the newest stored message of a subject."""
        ...


async def last_published(bus: AnchorBus, keys: AuditKeys) -> AuditAnchored | Break | None:
    """Return the newest anchor on the bus, or a break: only accounts may publish there, and by one key.

    Raises:
        ParleyError: `unavailable` while the bus is away.
    """
    stored = await bus.last_stored(stream_names.AUDIT, subjects.AUDIT_ANCHORED)
    if stored is None:
        return None
    try:
        anchor = AuditAnchored.model_validate_json(stored.data)
    except ValidationError:
        return Break(1, ChainFault.BAD_SIGNATURE)
    if is_signed(anchor, keys.installation, keys.public):
        return anchor
    is_forged = anchor.kid in keys.public and anchor.installation == keys.installation
    return Break(anchor.seq, ChainFault.BAD_SIGNATURE if is_forged else ChainFault.OTHER_KEY)


def read_anchors(
    connection: Connection, kind: AnchorKind, after_seq: int, until_seq: int
) -> list[AuditAnchored]:
    """Return the anchors of rows behind `after_seq`, the oldest first."""
    query = select(audit_anchors).where(
        audit_anchors.c.kind == kind.value,
        audit_anchors.c.seq > after_seq,
        audit_anchors.c.seq <= until_seq,
    )
    rows = connection.execute(query.order_by(audit_anchors.c.seq)).mappings()
    return [AuditAnchored.model_validate(dict(row)) for row in rows]


def newest_anchor(connection: Connection, kind: AnchorKind) -> AuditAnchored | None:
    """Return the newest anchor of a kind."""
    query = select(audit_anchors).filter_by(kind=kind.value).order_by(audit_anchors.c.seq.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else AuditAnchored.model_validate(dict(row))


def read_rows(connection: Connection, after_seq: int, until_seq: int, limit: int) -> list[AuditRow]:
    """Return rows behind `after_seq` and up to `until_seq`, in their order."""
    query = select(audit_log).where(audit_log.c.seq > after_seq, audit_log.c.seq <= until_seq)
    rows = connection.execute(query.order_by(audit_log.c.seq).limit(limit)).mappings()
    return [AuditRow.model_validate(dict(row)) for row in rows]


class AuditAnchors:
    """Signs every `every_s`, and every `MOST_ROWS` rows; several processes may."""

    def __init__(
        self,
        database: Database,
        bus: AnchorBus,
        keys: AuditKeys,
        *,
        every_s: float = 60.0,
        clock: Clock = unix_ms,
    ) -> None:
        self._database = database
        self._bus = bus
        self._keys = keys
        self._every_s = every_s
        self._clock = clock
        self._last: AuditAnchored | None = None
        self._is_informed = False
        self._not_ours: Break | None = None
        self._wake = asyncio.Event()
        self.broken: Break | None = None

    async def run(self) -> None:
        """Sign until cancelled; at once when the bus is back, which may lack what was signed meanwhile."""
        self._bus.on_reconnect(self._wake.set)
        while True:
            self._wake.clear()
            try:
                await self.anchor()
            except Exception:
                log.warning("the audit could not be anchored", exc_info=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._wake.wait()

    async def anchor(self) -> None:
        """Sign what has been added; nothing when the chain is broken since the last anchor."""
        await self._hear()
        while (anchor := await self._database.write(self._sign)) is not None:
            self._last = anchor
            await self._publish(anchor)
        if self.broken is not None:
            log.critical(
                "the audit's chain is broken and is not signed",
                extra={"seq": self.broken.seq, "fault": self.broken.fault.value},
            )

    async def _hear(self) -> None:
        """Learn what the bus knows to be signed, and publish what was signed and never got there."""
        try:
            told = await last_published(self._bus, self._keys)
        except ParleyError:
            if not self._is_informed:
                raise
            return
        self._is_informed = True
        self._not_ours = told if isinstance(told, Break) else None
        if isinstance(told, Break):
            return
        if told is not None and (self._last is None or told.seq > self._last.seq):
            self._last = told
        newest = await self._database.read(self._newest_known)
        if self.broken is None and newest is not None and (told is None or newest.seq > told.seq):
            await self._publish(newest)

    async def _publish(self, anchor: AuditAnchored) -> None:
        message_id = f"audit-anchor-{anchor.seq}-{anchor.kid}"
        await self._bus.publish_event(subjects.AUDIT_ANCHORED, anchor, message_id=message_id)

    def _sign(self, connection: Connection) -> AuditAnchored | None:
        head = connection.execute(select(audit_head).filter_by(name=HEAD).with_for_update(read=True)).one()
        last = self._newest_known(connection)
        checkpoint = newest_anchor(connection, AnchorKind.CHECKPOINT)
        self.broken = self._not_to_be_believed(connection)
        if (signer := self._keys.signer) is None or self.broken is not None:
            return None
        check = ChainCheck(self._keys.installation, self._keys.public)
        begin = max(
            (one for one in (last, checkpoint) if one is not None), key=lambda one: one.seq, default=None
        )
        if begin is not None:
            check.seq, check.hash = begin.seq, begin.hash
            self._look_at(connection, begin, check)
        for row in read_rows(connection, check.seq, head.seq, MOST_ROWS):
            check.take(row)
        if check.rows < MOST_ROWS or check.broken:
            check.end(head.seq, head.hash)
        self.broken = check.broken
        if check.broken or check.rows == 0:
            return None
        anchor = signer.sign(AnchorKind.HEAD, check.seq, check.hash, self._clock())
        into = self._database.insert(audit_anchors).values(**anchor.model_dump(exclude={"type"}))
        connection.execute(into.on_conflict_do_nothing())
        return anchor

    def _not_to_be_believed(self, connection: Connection) -> Break | None:
        """Return why nothing is to be signed whatever the rows are; None where that is not so."""
        if self._keys.signer is None:
            return Break(1, ChainFault.NO_KEY)
        for kind in (AnchorKind.CHECKPOINT, AnchorKind.HEAD):
            kept = newest_anchor(connection, kind)
            if kept is not None and not self._is_ours(kept):
                return Break(kept.seq, ChainFault.BAD_SIGNATURE)
        return self._not_ours

    def _newest_known(self, connection: Connection) -> AuditAnchored | None:
        """Return the newer of what this process has seen signed and what the table says."""
        kept = newest_anchor(connection, AnchorKind.HEAD)
        if kept is not None and not self._is_ours(kept):
            kept = None
        known = [one for one in (self._last, kept) if one is not None]
        return max(known, key=lambda one: one.seq, default=None)

    def _is_ours(self, anchor: AuditAnchored) -> bool:
        return is_signed(anchor, self._keys.installation, self._keys.public)

    def _look_at(self, connection: Connection, begin: AuditAnchored, check: ChainCheck) -> None:
        """See that the row that was signed still is what it was; retention may have removed it."""
        row = connection.execute(select(audit_log.c.hash).filter_by(seq=begin.seq)).one_or_none()
        if row is not None and row.hash != begin.hash:
            check.fail(begin.seq, ChainFault.NOT_ANCHORED)
