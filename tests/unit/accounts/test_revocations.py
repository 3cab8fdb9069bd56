"""What is revoked is told on the bus and can be read by whoever has not heard it."""

import asyncio

from parley_accounts.outbox import Outbox
from parley_accounts.tables import outbox, refresh_tokens, revocations
from parley_contracts import subjects
from parley_contracts.accounts import EndSessions
from parley_contracts.credentials import ReadRevocations, RevocationList, RevokedKind
from parley_contracts.model import WireModel
from parley_contracts.replies import Done
from sqlalchemy import URL, Connection, func, select

from tests.unit.accounts.accounts_rig import Accounts, as_user, open_accounts

READ = subjects.ACCOUNTS_READ_REVOCATIONS


async def read(accounts: Accounts, since_ms: int = 0, limit: int = 1000) -> list[str]:
    """Return what has been revoked since a time, over all pages."""
    found: list[str] = []
    request = ReadRevocations(since_ms=since_ms, limit=limit)
    while True:
        page = (await accounts.ask(READ, request, RevocationList)).revocations
        found += [one.revoked_id for one in page]
        if len(page) < limit:
            return found
        request = ReadRevocations(since_ms=page[-1].at_ms, after_id=page[-1].id, limit=limit)


async def revoke_users(accounts: Accounts, count: int) -> list[str]:
    ids: list[str] = []
    for number in range(count):
        user = await accounts.user(f"user{number}")
        await accounts.ask(subjects.ACCOUNTS_END_SESSIONS, EndSessions(**as_user(user)), Done)
        ids.append(user.id)
    return ids


async def test_revocations_are_read_page_by_page_and_since_a_time(accounts: Accounts) -> None:
    first = await revoke_users(accounts, 5)
    assert set(await read(accounts)) == set(first)
    assert set(await read(accounts, limit=2)) == set(first)
    assert len(await read(accounts, limit=2)) == 5
    accounts.clock.advance(60)
    since_ms = accounts.clock() - 1000
    later = await accounts.user("later")
    await accounts.ask(subjects.ACCOUNTS_END_SESSIONS, EndSessions(**as_user(later)), Done)
    assert await read(accounts, since_ms) == [later.id]


async def test_a_revocation_is_kept_as_long_as_a_token_lives(accounts: Accounts) -> None:
    (user_id,) = await revoke_users(accounts, 1)
    accounts.clock.advance(accounts.settings.accounts_access_token_s + 50)
    await accounts.sweep.sweep()
    assert await read(accounts) == [user_id]
    accounts.clock.advance(20)
    assert await read(accounts) == []
    await accounts.sweep.sweep()
    count = select(func.count()).select_from(revocations)
    assert await accounts.database.read(lambda connection: connection.execute(count).scalar_one()) == 0


class RefusingBus:
    """Refuses its first events."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.published: list[str] = []
        self.told = asyncio.Event()

    async def publish_event(self, subject: str, event: WireModel, *, message_id: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError("no acknowledgement")
        self.published.append(message_id)
        self.told.set()


async def test_an_event_that_the_bus_refuses_is_published_later(accounts: Accounts) -> None:
    await revoke_users(accounts, 1)
    bus = RefusingBus(2)
    publishing = asyncio.create_task(Outbox(accounts.database, bus, first_retry_s=0.001).run())
    async with asyncio.timeout(10):
        await bus.told.wait()
    publishing.cancel()
    await asyncio.wait([publishing])
    assert len(bus.published) == 1


async def test_what_a_dead_process_left_behind_is_told_by_the_next(url: URL) -> None:
    async with open_accounts(url) as accounts:
        (user_id,) = await revoke_users(accounts, 1)
    async with open_accounts(url) as accounts:
        assert await accounts.revocations() == [(RevokedKind.USER, user_id)]
        count = select(func.count()).select_from(outbox)
        assert await accounts.database.read(lambda connection: connection.execute(count).scalar_one()) == 0


async def test_a_woken_outbox_tells_at_once(accounts: Accounts) -> None:
    running = asyncio.create_task(accounts.parts.outbox.run())
    (user_id,) = await revoke_users(accounts, 1)
    async with asyncio.timeout(10):
        while not accounts.revoked:  # noqa: ASYNC110 - the condition is another task's, behind a database
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.wait([running])
    assert [one.revoked_id for one in accounts.revoked] == [user_id]


async def test_what_has_expired_is_swept_out(accounts: Accounts) -> None:
    await accounts.user("ada")
    first = await accounts.log_in("ada")
    await accounts.refresh(first.refresh_token)
    successors = (
        select(func.count()).select_from(refresh_tokens).where(refresh_tokens.c.successor.is_not(None))
    )
    tokens = select(func.count()).select_from(refresh_tokens)

    async def counted() -> tuple[int, int]:
        def count(connection: Connection) -> tuple[int, int]:
            return connection.execute(successors).scalar_one(), connection.execute(tokens).scalar_one()

        return await accounts.database.read(count)

    await accounts.sweep.sweep()
    assert await counted() == (1, 2)
    accounts.clock.advance(accounts.settings.accounts_refresh_grace_s + 1)
    await accounts.sweep.sweep()
    assert await counted() == (0, 2)
    accounts.clock.advance(accounts.settings.accounts_session_days * 86_400 + 1)
    await accounts.sweep.sweep()
    assert await counted() == (0, 0)
