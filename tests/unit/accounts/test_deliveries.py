"""Deliveries are shared by processes that do not know of each other, and lost with none of them."""

import asyncio

import pytest
from parley_accounts.notices.deliveries import DONE, GIVEN_UP, LEASE_MS
from parley_accounts.notices.retries import GIVE_UP_MS
from parley_contracts.notices import NoticeKind
from sqlalchemy import URL

from tests.fakes.http_receiver import answer_of, open_receiver
from tests.unit.accounts.accounts_rig import Accounts, open_accounts
from tests.unit.accounts.notices_rig import LOOPBACK, make_webhook, rows_of_deliveries, tell

EXPORT = NoticeKind.EXPORT_READY


async def drain(accounts: Accounts) -> None:
    await accounts.parts.notices.postman.drain()


async def test_several_processes_share_what_is_due_and_post_each_once(url: URL) -> None:
    async with (
        open_receiver() as receiver,
        open_accounts(url, accounts_webhook_networks=LOOPBACK) as one,
        open_accounts(url, accounts_webhook_networks=LOOPBACK) as other,
    ):
        users = [await one.user(f"user{number}") for number in range(6)]
        for user in users:
            await make_webhook(one, user, receiver.url)
            for _ in range(4):
                await tell(one, user, EXPORT)
        await asyncio.gather(drain(one), drain(other))
        await drain(one)
        ids = [request.headers["webhook-id"] for request in receiver.received]
        assert (len(ids), len(set(ids))) == (24, 24)
        assert {row.outcome for row in await rows_of_deliveries(one)} == {DONE}


async def test_what_a_dead_process_had_taken_is_posted_by_another_when_the_lease_ends(url: URL) -> None:
    async with (
        open_receiver() as receiver,
        open_accounts(url, accounts_webhook_networks=LOOPBACK) as dying,
        open_accounts(url, accounts_webhook_networks=LOOPBACK) as other,
    ):
        ada = await dying.user("ada")
        await make_webhook(dying, ada, receiver.url)
        await tell(dying, ada, EXPORT)
        (taken,) = await dying.parts.notices.deliveries.take(10)  # and nothing comes of it
        await drain(other)
        assert receiver.received == []
        other.clock.advance(LEASE_MS / 1000 + 1)
        await drain(other)
        assert len(receiver.received) == 1
        # Were it alive after all, what it notes would count no more.
        await dying.parts.notices.postman.deliver(taken)
        (row,) = await rows_of_deliveries(other)
        assert (row.outcome, row.attempts) == (DONE, 2)


async def test_slow_servers_of_one_user_are_not_what_others_wait_for(url: URL) -> None:
    released = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.write(answer_of(200))

    async with (
        open_receiver() as slow,
        open_receiver() as quick,
        open_accounts(url, accounts_webhook_networks=LOOPBACK) as accounts,
    ):
        slow.answers = [hold]
        ada, bob = await accounts.user("ada"), await accounts.user("bob")
        await make_webhook(accounts, ada, slow.url)
        await make_webhook(accounts, bob, quick.url)
        for _ in range(20):
            await tell(accounts, ada, EXPORT)
        await tell(accounts, bob, EXPORT)
        working = asyncio.create_task(accounts.parts.notices.postman.run())
        try:
            async with asyncio.timeout(10):
                await quick.has_received.wait()
            assert len(slow.received) <= 3
            released.set()
        finally:
            working.cancel()
            await asyncio.wait([working])


async def test_forgotten_passwords_that_cannot_be_looked_up_keep_no_delivery_back(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> bool:
        raise LookupError("a fault")

    async with (
        open_receiver() as receiver,
        open_accounts(url, accounts_webhook_networks=LOOPBACK) as accounts,
    ):
        monkeypatch.setattr(accounts.parts.notices.forgotten, "look_up", fail)
        ada = await accounts.user("ada")
        await make_webhook(accounts, ada, receiver.url)
        await tell(accounts, ada, EXPORT)
        working = asyncio.create_task(accounts.parts.notices.postman.run())
        try:
            async with asyncio.timeout(10):
                await receiver.has_received.wait()
        finally:
            working.cancel()
            await asyncio.wait([working])


async def test_what_nobody_could_end_in_time_is_given_up_and_what_never_was_tried_is_not(url: URL) -> None:
    async with (
        open_receiver() as receiver,
        open_accounts(url, accounts_webhook_networks=LOOPBACK) as accounts,
    ):
        deliveries = accounts.parts.notices.deliveries
        ada, bob = await accounts.user("ada"), await accounts.user("bob")
        await make_webhook(accounts, ada, receiver.url)
        await tell(accounts, ada, EXPORT)
        assert len(await deliveries.take(10)) == 1  # by a process that dies of it
        await make_webhook(accounts, bob, receiver.url)
        await tell(accounts, bob, EXPORT)
        accounts.clock.advance((GIVE_UP_MS + 2 * LEASE_MS) / 1000)
        await deliveries.sweep()
        await drain(accounts)
        outcomes = {row.user_id: row.outcome for row in await rows_of_deliveries(accounts)}
        assert outcomes == {ada.id: GIVEN_UP, bob.id: DONE}
        assert len(receiver.received) == 1
