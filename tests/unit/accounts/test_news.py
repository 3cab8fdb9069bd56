"""Events of other services become notices: each once, whoever reads them and whoever dies meanwhile."""

import asyncio
import threading
from itertools import count

import pytest
from parley_accounts.acting import find_user
from parley_accounts.notices.news import News
from parley_contracts import subjects
from parley_contracts.accounts import User
from parley_contracts.model import WireModel
from parley_contracts.notices import DocumentFailed, NoticeKind
from parley_messaging.memory_bus import MemoryBus
from sqlalchemy import URL, Connection, text

from tests.unit.accounts.accounts_rig import Accounts, open_accounts
from tests.unit.accounts.notices_rig import notices_of

NUMBERS = count()


async def publish(bus: MemoryBus, subject: str, event: WireModel) -> None:
    await bus.publish_event(subject, event, message_id=f"event-{next(NUMBERS)}")


async def fail(bus: MemoryBus, user: User, document_id: str) -> None:
    event = DocumentFailed(owner_id=user.id, document_id=document_id, failed_at_ms=1)
    await publish(bus, subjects.DOCUMENT_FAILED, event)


async def test_failed_documents_are_told_to_their_owner_with_a_count(accounts: Accounts) -> None:
    ada, bob = await accounts.user("ada"), await accounts.user("bob")
    for number in range(120):
        await fail(accounts.bus, ada, f"d{number}")
    await accounts.parts.notices.news.catch_up()
    await accounts.parts.notices.news.catch_up()
    (told,) = await notices_of(accounts, ada)
    assert (told.kind, told.count, told.facts.document_id) == (NoticeKind.DOCUMENT_FAILED, 120, "d119")
    assert await notices_of(accounts, bob) == []


async def test_several_processes_that_read_at_once_tell_each_event_once(url: URL) -> None:
    bus = MemoryBus()
    async with open_accounts(url, bus=bus) as one, open_accounts(url, bus=MemoryBus()) as other:
        ada = await one.user("ada")
        for number in range(60):
            await fail(bus, ada, f"d{number}")
        second = News(other.database, bus, other.parts.users.notices, on_news=lambda: None)
        await asyncio.gather(one.parts.notices.news.catch_up(), second.catch_up())
        await second.catch_up()
        assert [told.count for told in await notices_of(one, ada)] == [60]


async def test_what_was_stored_while_nobody_read_is_read_at_the_next_start(accounts: Accounts) -> None:
    ada = await accounts.user("ada")
    await fail(accounts.bus, ada, "d1")
    told = asyncio.Event()
    news = News(accounts.database, accounts.bus, accounts.parts.users.notices, on_news=told.set)
    reading = asyncio.create_task(news.run())
    try:
        async with asyncio.timeout(10):
            await told.wait()
            told.clear()
            await fail(accounts.bus, ada, "d2")
            await told.wait()
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    assert [one.count for one in await notices_of(accounts, ada)] == [2]


async def test_a_stream_that_was_lost_and_made_again_is_read_from_its_beginning(accounts: Accounts) -> None:
    ada, told = await accounts.user("ada"), accounts.parts.users.notices
    for number in range(3):
        await fail(accounts.bus, ada, f"d{number}")
    await accounts.parts.notices.news.catch_up()
    emptied = MemoryBus()
    await fail(emptied, ada, "d3")
    await News(accounts.database, emptied, told, on_news=lambda: None).catch_up()
    assert [one.count for one in await notices_of(accounts, ada)] == [4]


@pytest.mark.server_only
async def test_who_tells_many_waits_for_whom_he_locks_in_the_order_of_all_others(url: URL) -> None:
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has one writer")
    async with open_accounts(url) as accounts:
        first, second = sorted(
            [await accounts.user("ada"), await accounts.user("bob")], key=lambda one: one.id
        )
        await fail(accounts.bus, second, "d1")
        await fail(accounts.bus, first, "d2")
        holds, may_go_on = threading.Event(), threading.Event()
        tries: list[int] = []

        def hold(connection: Connection) -> None:
            tries.append(len(tries))
            find_user(connection, first.id, locks=True)
            holds.set()
            assert may_go_on.wait(10)
            find_user(connection, second.id, locks=True)

        holding = asyncio.create_task(accounts.database.write(hold))
        await asyncio.to_thread(holds.wait, 10)
        reading = asyncio.create_task(accounts.parts.notices.news.catch_up())
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with asyncio.timeout(10):
            while not await accounts.database.read(lambda found: found.execute(waits).scalar_one()):  # noqa: ASYNC110 - a server's state
                await asyncio.sleep(0.01)
        may_go_on.set()
        async with asyncio.timeout(10):
            await holding
            await reading
        assert tries == [0]
        assert [len(await notices_of(accounts, one)) for one in (first, second)] == [1, 1]


async def test_an_event_that_cannot_be_read_keeps_none_behind_it(
    accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await accounts.user("ada")
    await accounts.bus.store(subjects.DOCUMENT_FAILED, b"{}")
    await fail(accounts.bus, ada, "d1")
    await accounts.parts.notices.news.catch_up()
    assert [one.facts.document_id for one in await notices_of(accounts, ada)] == ["d1"]
    assert "an event cannot be read" in caplog.text
