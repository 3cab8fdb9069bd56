"""Where answers go: nobody guesses it, and nobody has them sent elsewhere."""

import asyncio
from uuid import uuid4

import pytest
from parley_contracts import subjects
from parley_contracts.health import HealthQuestion
from parley_contracts.replies import Done
from parley_contracts.turns import HoldQuestion, PenRole
from parley_messaging.bus import Bus, Delivery
from parley_messaging.holds import Holds
from parley_messaging.inboxes import is_inbox
from parley_messaging.nats_bus import NatsBus


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("_INBOX.a.b", True),
        ("_INBOX_gateway.a", True),
        ("", False),
        ("_INBOX", False),
        ("_INBOXES.a", False),
        ("$JS.API.STREAM.PURGE.TURN_EVENTS", False),
        (subjects.turn_events("h", "t"), False),
    ],
)
def test_only_an_inbox_is_one(subject: str, expected: bool) -> None:
    assert is_inbox(subject) is expected


@pytest.mark.nats
async def test_who_is_asked_learns_nothing_of_where_other_answers_are_awaited(nats_url: str) -> None:
    """nats-py's own names begin alike in one connection and go up by one step."""
    bus = NatsBus(nats_url, name="test", grace_s=2)
    asked: list[str] = []

    async def answer(delivery: Delivery) -> None:
        asked.append(delivery.reply)
        await bus.publish(delivery.reply, Done().model_dump_json().encode())

    await bus.start()
    subject = f"{subjects.PREFIX}.test.{uuid4().hex}"
    await bus.subscribe(subject, answer)
    for _ in range(3):
        await bus.request(subject, HealthQuestion(), Done)
    names = [one.split(".")[-1] for one in (*asked, bus.new_inbox(), bus.new_inbox())]
    assert len({name[:8] for name in names}) == len(names)
    assert all(is_inbox(one) for one in asked)
    await bus.close()


@pytest.mark.nats
async def test_a_request_whose_answer_is_to_go_elsewhere_is_dropped(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    bus = NatsBus(nats_url, name="test", grace_s=2)
    handled: list[HealthQuestion] = []
    strays: list[bytes] = []

    async def handle(question: HealthQuestion) -> Done:
        handled.append(question)
        return Done()

    async def hear(delivery: Delivery) -> None:
        strays.append(delivery.data)

    subject, elsewhere = (f"{subjects.PREFIX}.test.{uuid4().hex}" for _ in range(2))
    bus.answer(subject, HealthQuestion, handle)
    await bus.start()
    await bus.subscribe(elsewhere, hear)
    await bus.publish(subject, HealthQuestion().model_dump_json().encode(), reply=elsewhere)
    await bus.request(subject, HealthQuestion(), Done)
    await bus.stop_answering()
    await bus.connection.flush()
    assert len(handled) == 1
    assert not strays
    (line,) = [one for one in caplog.records if one.message.startswith("request dropped")]
    assert vars(line)["reply"] == elsewhere
    await bus.close()


async def test_a_question_for_a_holder_is_answered_in_an_inbox_only(bus: Bus) -> None:
    await bus.start()
    holds, turn_id = Holds(bus, "holder", PenRole.RUNNER), uuid4().hex
    await holds.start()
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(delivery: Delivery) -> None:
        heard.put_nowait(delivery.subject)

    inbox, elsewhere = bus.new_inbox(), f"{subjects.PREFIX}.test.{uuid4().hex}"
    for subject in (inbox, elsewhere):
        await bus.subscribe(subject, hear)
    question = HoldQuestion(role=PenRole.RUNNER).model_dump_json().encode()
    with holds.hold(turn_id):
        for reply in (elsewhere, inbox):
            await bus.publish(subjects.turn_hold(turn_id), question, reply=reply)
        async with asyncio.timeout(5):
            assert await heard.get() == inbox
