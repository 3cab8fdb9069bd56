"""Transactions whose callers leave."""

import asyncio

import pytest
from parley_contracts.errors import ErrorCode, ParleyError
from parley_memory.database import Database, open_database
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection


async def count(connection: AsyncConnection) -> int:
    return (await connection.execute(text("SELECT count(*) FROM kept"))).scalar_one()


async def create(connection: AsyncConnection) -> None:
    await connection.execute(text("CREATE TABLE kept (n INTEGER)"))


class HeldWrite:
    """A transaction that stays open until it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO kept VALUES (1)"))
        self.begun.set()
        await self.may_end.wait()


async def insert(connection: AsyncConnection) -> None:
    await connection.execute(text("INSERT INTO kept VALUES (2)"))


async def kept(database: Database) -> int:
    async with database.read() as connection:
        return await count(connection)


async def test_a_write_whose_caller_leaves_goes_on_to_its_end_before_the_next_begins(url: URL) -> None:
    async with open_database(url) as database:
        await database.write(create)
        held = HeldWrite()
        leaving = asyncio.ensure_future(database.write(held))
        await held.begun.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        following = asyncio.ensure_future(database.write(insert))
        held.may_end.set()
        await following
        assert await kept(database) == 2


async def test_a_write_whose_caller_leaves_before_it_begins_is_not_made(url: URL) -> None:
    async with open_database(url, pool_size=1) as database:
        await database.write(create)
        held = HeldWrite()
        first = asyncio.ensure_future(database.write(held))
        await held.begun.wait()
        waiting = asyncio.ensure_future(database.write(insert))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        held.may_end.set()
        await first
        assert await kept(database) == 1


async def test_what_a_write_raises_reaches_its_caller_and_undoes_it(url: URL) -> None:
    async def fail(connection: AsyncConnection) -> None:
        await insert(connection)
        raise LookupError("no")

    async with open_database(url) as database:
        await database.write(create)
        with pytest.raises(LookupError):
            await database.write(fail)
        assert await kept(database) == 0


async def test_a_write_that_hangs_is_given_up_and_lets_the_next_one_write(url: URL) -> None:
    async with open_database(url, pool_size=1) as database:
        await database.write(create)
        with pytest.raises(ParleyError) as caught:
            await database.write(HeldWrite(), within_s=0.05)
        assert caught.value.code is ErrorCode.UNAVAILABLE
        await database.write(insert)
        assert await kept(database) == 1
