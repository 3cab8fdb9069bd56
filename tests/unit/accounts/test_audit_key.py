"""What the audit is signed by is not begun anew in silence; lost anchors are published again."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from parley_accounts.audit_anchors import AuditAnchors
from parley_contracts import stream_names, subjects
from parley_contracts.audit import AuditAnchored
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.model import WireModel
from parley_identity.audit_chain import FIRST_PREV_HASH, Break, ChainFault
from parley_messaging.bus import NotStoredError, OnReconnect, StoredMessage
from parley_messaging.memory_bus import MemoryBus
from sqlalchemy import URL, Connection, text

from tests.unit.accounts.accounts_rig import Accounts, open_accounts
from tests.unit.accounts.audit_rig import fill, rows_of, tamper, verdict


async def on_the_bus(bus: MemoryBus) -> AuditAnchored | None:
    found = await bus.last_stored(stream_names.AUDIT, subjects.AUDIT_ANCHORED)
    return AuditAnchored.model_validate_json(found.data) if found else None


NO_KEY = "DELETE FROM accounts_audit_keys"
NO_NAME = "DELETE FROM accounts_installation WHERE name = 'issuer'"
NO_ANCHORS = "DELETE FROM accounts_audit_anchors"
NOTHING = (
    "DELETE FROM accounts_audit_log",
    f"UPDATE accounts_audit_head SET seq = 0, hash = '{FIRST_PREV_HASH}'",
)
DELETED: dict[str, tuple[tuple[str, ...], Break]] = {
    "the key": ((NO_KEY,), Break(1, ChainFault.NO_KEY)),
    "the key and the anchors": ((NO_KEY, NO_ANCHORS), Break(1, ChainFault.NO_KEY)),
    "the key, put elsewhere": (("UPDATE accounts_audit_keys SET place = 2",), Break(1, ChainFault.NO_KEY)),
    "the name": ((NO_NAME,), Break(3, ChainFault.BAD_SIGNATURE)),
    "the name and the anchors": ((NO_NAME, NO_ANCHORS), Break(3, ChainFault.OTHER_KEY)),
    "the key and everything": ((NO_KEY, NO_ANCHORS, *NOTHING), Break(3, ChainFault.OTHER_KEY)),
    "the name and everything": ((NO_NAME, NO_ANCHORS, *NOTHING), Break(3, ChainFault.OTHER_KEY)),
}


@pytest.mark.parametrize("name", DELETED)
async def test_a_chain_is_never_begun_anew_in_silence(accounts: Accounts, url: URL, name: str) -> None:
    statements, expected = DELETED[name]
    await fill(accounts, 3)
    await accounts.parts.audit.anchors.anchor()
    before = await on_the_bus(accounts.bus)
    assert before is not None
    await accounts.database.write(lambda connection: tamper(connection, *statements))
    async with open_accounts(url, bus=accounts.bus) as restarted:
        # The audit goes on being written; it is signed by nobody.
        await fill(restarted, 2)
        assert len(await rows_of(restarted.database)) == (2 if statements[-1] in NOTHING else 5)
        await restarted.parts.audit.anchors.anchor()
        assert restarted.parts.audit.anchors.broken == expected
        assert await on_the_bus(restarted.bus) == before
        found = await verdict(restarted)
        assert (found.is_whole, found.broken_seq) == (False, expected.seq)
        assert found.fault == expected.fault


async def test_without_its_key_no_row_is_removed(accounts: Accounts, url: URL) -> None:
    await fill(accounts, 3)
    await accounts.database.write(lambda connection: tamper(connection, NO_KEY))
    async with open_accounts(url, bus=accounts.bus) as restarted:
        restarted.clock.advance(366 * 86_400)
        assert await restarted.parts.audit.retention.sweep() == 0
        assert restarted.parts.audit.retention.broken == Break(1, ChainFault.NO_KEY)
        assert len(await rows_of(restarted.database)) == 3


async def test_a_key_that_is_put_back_goes_on_where_it_was(accounts: Accounts, url: URL) -> None:
    await fill(accounts, 3)
    await accounts.parts.audit.anchors.anchor()

    def hide(connection: Connection, place: int) -> None:
        connection.execute(text(f"UPDATE accounts_audit_keys SET place = {place}"))

    await accounts.database.write(lambda connection: hide(connection, 2))
    async with open_accounts(url, bus=accounts.bus) as without:
        await fill(without, 1)
        await without.parts.audit.anchors.anchor()
    await accounts.database.write(lambda connection: hide(connection, 1))
    async with open_accounts(url, bus=accounts.bus) as restarted:
        await restarted.parts.audit.anchors.anchor()
        assert restarted.parts.audit.anchors.broken is None
        found = await verdict(restarted)
        assert (found.is_whole, found.anchored_seq) == (True, 4)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}", Break(1, ChainFault.BAD_SIGNATURE)),
        ("forged", Break(9, ChainFault.BAD_SIGNATURE)),
    ],
    ids=["unreadable", "not signed"],
)
async def test_what_stands_among_the_anchors_and_is_none_is_a_break(
    accounts: Accounts, data: bytes | str, expected: Break
) -> None:
    await fill(accounts, 2)
    await accounts.parts.audit.anchors.anchor()
    told = await on_the_bus(accounts.bus)
    assert told is not None
    forged = told.model_copy(update={"seq": 9}).model_dump_json().encode()
    await accounts.bus.store(subjects.AUDIT_ANCHORED, data if isinstance(data, bytes) else forged)
    await fill(accounts, 1)
    await accounts.parts.audit.anchors.anchor()
    assert accounts.parts.audit.anchors.broken == expected
    assert (await verdict(accounts)).fault == expected.fault


# -- an anchor that the bus never got -----------------------------------------------------------------


@dataclass
class FlakyBus:
    """The bus of the service, on which publishing or all of it may be away."""

    bus: MemoryBus
    takes_events: bool = True
    answers: bool = True

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        if not self.takes_events:
            raise NotStoredError(subject)
        await self.bus.publish_event(subject, event, message_id=message_id)

    async def last_stored(self, stream: str, subject: str) -> StoredMessage | None:
        if not self.answers:
            raise ParleyError(ErrorCode.UNAVAILABLE, "away")
        return await self.bus.last_stored(stream, subject)

    def on_reconnect(self, tell: OnReconnect) -> None:
        self.bus.on_reconnect(tell)


def anchors_over(accounts: Accounts, bus: FlakyBus, **fields: Any) -> AuditAnchors:
    return AuditAnchors(accounts.database, bus, accounts.parts.audit.keys, **fields)


@pytest.mark.parametrize("restarts", [False, True], ids=["the same process", "after a restart"])
async def test_an_anchor_that_was_signed_and_not_published_is_published_later(
    accounts: Accounts, restarts: bool
) -> None:
    bus = FlakyBus(accounts.bus, takes_events=False)
    anchors = anchors_over(accounts, bus)
    await fill(accounts, 3)
    with pytest.raises(NotStoredError):
        await anchors.anchor()
    assert await on_the_bus(accounts.bus) is None
    bus.takes_events = True
    await (anchors_over(accounts, bus) if restarts else anchors).anchor()
    told = await on_the_bus(accounts.bus)
    assert told is not None
    assert told.seq == 3


async def test_what_is_signed_while_the_bus_is_away_is_published_when_it_is_back(accounts: Accounts) -> None:
    bus = FlakyBus(accounts.bus)
    anchors = anchors_over(accounts, bus)
    await fill(accounts, 1)
    await anchors.anchor()
    bus.takes_events = bus.answers = False
    await fill(accounts, 1)
    with pytest.raises(NotStoredError):
        await anchors.anchor()
    assert (await verdict(accounts)).anchored_seq == 2
    bus.takes_events = bus.answers = True
    running = asyncio.create_task(anchors_over(accounts, bus, every_s=3600).run())
    try:
        await until_published(accounts, 2)
        bus.takes_events = False
        await fill(accounts, 1)
        with pytest.raises(NotStoredError):
            await anchors.anchor()
        bus.takes_events = True
        accounts.bus.reconnect()
        await until_published(accounts, 3)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until_published(accounts: Accounts, seq: int) -> None:
    async with asyncio.timeout(10):
        while (told := await on_the_bus(accounts.bus)) is None or told.seq < seq:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
