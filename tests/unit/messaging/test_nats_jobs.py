"""A puller and what the server sends it: jobs in time, jobs too late, and word that there is none."""

import asyncio
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from parley_contracts import subjects
from parley_messaging.nats_jobs import NatsJobSource
from parley_messaging.queues import TURNS

WAIT_S = 5.0


@dataclass
class Connection:
    """A connection that keeps what is asked of it."""

    is_connected: bool = True
    requests: list[str] = field(default_factory=list[str])

    def new_inbox(self) -> str:
        return "_INBOX.puller"

    async def publish(self, subject: str, payload: bytes, reply: str) -> None:
        assert subject == "$JS.API.CONSUMER.MSG.NEXT.TURNS.turn-runners"
        assert b'"batch":1' in payload
        self.requests.append(reply)


@dataclass
class Message:
    """A job as it is delivered; a status has no `reply`."""

    subject: str = subjects.turn_start("t")
    reply: str = "$JS.ACK.TURNS.turn-runners.1.1.1.1.0"
    data: bytes = b"job"
    headers: dict[str, str] | None = None
    metadata: Any = field(
        default_factory=lambda: SimpleNamespace(num_delivered=1, sequence=SimpleNamespace(stream=1))
    )
    is_given_back: bool = False

    async def nak(self) -> None:
        self.is_given_back = True


def puller(connection: Connection) -> NatsJobSource:
    return NatsJobSource(cast(Client, connection), TURNS, look_again=lambda: None)


async def hear(source: NatsJobSource, message: Message) -> None:
    await source.hear(cast(Msg, message))


async def test_a_job_that_comes_is_handed_over() -> None:
    connection = Connection()
    source = puller(connection)
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        fetching = tasks.create_task(source.fetch(WAIT_S))
        await asyncio.sleep(0)
        await hear(source, Message())
    job = fetching.result()
    assert job is not None
    assert (job.data, job.deliveries) == (b"job", 1)


async def test_word_that_there_is_none_ends_the_fetch_it_is_meant_for_and_no_other() -> None:
    source = puller(Connection())
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        fetching = tasks.create_task(source.fetch(WAIT_S))
        await asyncio.sleep(0)
        await hear(source, Message(subject="_INBOX.puller.0", reply=""))
        await asyncio.sleep(0)
        assert not fetching.done()
        await hear(source, Message(subject="_INBOX.puller.1", reply=""))
    assert fetching.result() is None


async def test_a_job_for_which_nobody_asks_any_more_is_given_back_at_once() -> None:
    source, job = puller(Connection()), Message()
    await hear(source, job)
    assert job.is_given_back


async def test_nothing_is_asked_for_while_the_bus_is_away() -> None:
    connection = Connection(is_connected=False)
    assert await puller(connection).fetch(WAIT_S) is None
    assert connection.requests == []


async def test_a_job_that_comes_in_the_moment_in_which_the_time_is_over_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parley_messaging.nats_jobs.EXPIRY_S", 0.0)
    source, job = puller(Connection()), Message()
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        fetching = tasks.create_task(source.fetch(0.01))
        await asyncio.sleep(0)
        tasks.create_task(hear(source, job))
        # The loop stalls, and finds the job and the end of the time in one turn.
        time.sleep(0.02)  # noqa: ASYNC251 - a stall of the loop is what is tested
    assert fetching.result() is not None
    assert not job.is_given_back
